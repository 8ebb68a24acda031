//! Run-time choice of the instruction set, and one body compiled for each.

use std::sync::OnceLock;

/// Instruction sets that have their own kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 F/VL/BW/DQ with FMA.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// Whatever the target guarantees: NEON on aarch64, simd128 in WebAssembly. But on aarch64 products are rounded before they are added.
    Portable,
}

impl Isa {
    /// The widest set that this processor has.
    pub fn current() -> Isa {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("fma")
                {
                    return Isa::Avx512;
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    return Isa::Avx2;
                }
            }
            Isa::Portable
        })
    }

    /// Whether products of bfloat16 pairs have an instruction (AVX-512 BF16).
    pub fn multiplies_bf16() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Isa::current() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Whether products of 8-bit integers have a kernel of their own: by AVX-512 VNNI or simd128.
    pub fn multiplies_int8() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Isa::current() == Isa::Avx512 && is_x86_feature_detected!("avx512vnni");
        #[cfg(not(target_arch = "x86_64"))]
        cfg!(target_family = "wasm")
    }

    /// Lower-case name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable if cfg!(target_arch = "aarch64") => "neon",
            Isa::Portable if cfg!(target_family = "wasm") => "simd128",
            Isa::Portable => "portable",
        }
    }
}

/// Compiles one body for each instruction set and calls the one of this processor. Inside, `FMA` says whether
/// `madd` may fuse, so that the portable build never calls the C library for each product. The first type parameter
/// is the type of the arithmetic, the others are ways to store it.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$f:ident $(, $e:ident)*>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$f: $crate::backend::cpu::real::Real $(, $e: $crate::backend::cpu::stored::Stored<$f>)*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, clippy::extra_unused_type_parameters)]
            fn body<$f: $crate::backend::cpu::real::Real $(, $e: $crate::backend::cpu::stored::Stored<$f>)*, const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512<$f: $crate::backend::cpu::real::Real $(, $e: $crate::backend::cpu::stored::Stored<$f>)*>($($arg: $ty),*) $(-> $ret)? {
                body::<$f $(, $e)*, true>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2<$f: $crate::backend::cpu::real::Real $(, $e: $crate::backend::cpu::stored::Stored<$f>)*>($($arg: $ty),*) $(-> $ret)? {
                body::<$f $(, $e)*, true>($($arg),*)
            }

            match $crate::backend::cpu::isa::Isa::current() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `current` has seen that this processor has these features.
                $crate::backend::cpu::isa::Isa::Avx512 => unsafe { avx512::<$f $(, $e)*>($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::backend::cpu::isa::Isa::Avx2 => unsafe { avx2::<$f $(, $e)*>($($arg),*) },
                _ => body::<$f $(, $e)*, { cfg!(target_arch = "aarch64") }>($($arg),*),
            }
        }
    };
}
pub(crate) use simd_fn;
