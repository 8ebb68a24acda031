//! The kernels: their sources, and the variants that they are compiled in.

use std::fmt;

/// The element type of activations, by which modules are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// 32 bits.
    F32,
    /// bfloat16.
    Bf16,
}

impl Activation {
    /// The type's name in the sources.
    fn name(self) -> &'static str {
        match self {
            Activation::F32 => "float",
            Activation::Bf16 => "bf16",
        }
    }
}

/// One source, compiled for one set of its macros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Module {
    /// The source's name without its ending.
    pub source: &'static str,
    /// `ACTIVATION`.
    pub activation: Activation,
    /// `HEAD_DIM`, where the source is written for one: the widest head that it takes. 0 elsewhere.
    pub head_dim: u32,
}

impl Module {
    /// For activations of a type.
    pub const fn new(source: &'static str, activation: Activation) -> Self {
        Self { source, activation, head_dim: 0 }
    }

    /// For heads of at most this width.
    pub const fn with_head_dim(self, head_dim: u32) -> Self {
        Self { head_dim, ..self }
    }

    /// Names and values of its macros.
    pub fn macros(&self) -> Vec<(&'static str, String)> {
        let mut macros = vec![("ACTIVATION", self.activation.name().to_string())];
        if self.activation == Activation::Bf16 {
            macros.push(("ACTIVATION_IS_BF16", "1".to_string()));
        }
        if self.head_dim > 0 {
            macros.push(("HEAD_DIM", self.head_dim.to_string()));
        }
        macros
    }

    /// Its source, which may include [`HEADERS`].
    pub fn text(&self) -> &'static str {
        SOURCES.iter().find(|(name, _)| *name == self.source).map_or("", |(_, text)| text)
    }
}

/// For example "rowwise.bf16" or "attention.bf16.64": a file's name.
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.source, self.activation.name())?;
        if self.head_dim > 0 {
            write!(f, ".{}", self.head_dim)?;
        }
        Ok(())
    }
}

/// A kernel of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Where it is.
    pub module: Module,
    /// Its name in the source.
    pub name: &'static str,
}

macro_rules! sources {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("kernels/", $name, ".cu")))),*]
    };
}

/// The sources by name.
const SOURCES: &[(&str, &str)] = sources![
    "attention",
    "attention_backward",
    "dequantize",
    "dropout",
    "elementwise",
    "indexing",
    "optimizer",
    "product",
    "rowwise",
    "sample",
    "vocab"
];

/// Files that sources include, by name.
pub const HEADERS: &[(&str, &str)] = &[
    ("attention.cuh", include_str!("kernels/attention.cuh")),
    ("device.cuh", include_str!("kernels/device.cuh")),
    ("elements.cuh", include_str!("kernels/elements.cuh")),
    ("mma.cuh", include_str!("kernels/mma.cuh")),
    ("softmax.cuh", include_str!("kernels/softmax.cuh")),
];

/// Widths of heads that attention is compiled for; another is padded to the next.
pub const HEAD_DIMS: [u32; 3] = [32, 64, 128];

/// Every module there is, for building them all ahead.
pub fn modules() -> Vec<Module> {
    let both = [Activation::F32, Activation::Bf16];
    let plain =
        ["dequantize", "dropout", "elementwise", "indexing", "optimizer", "product", "rowwise", "vocab"];
    let mut modules: Vec<Module> =
        plain.into_iter().flat_map(|source| both.map(|activation| Module::new(source, activation))).collect();
    for source in ["attention", "attention_backward"] {
        for head_dim in HEAD_DIMS {
            modules.extend(both.map(|a| Module::new(source, a).with_head_dim(head_dim)));
        }
    }
    modules.push(Module::new("sample", Activation::F32));
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_has_a_source_and_a_name_of_its_own() {
        let modules = modules();
        let mut names: Vec<String> = modules.iter().map(Module::to_string).collect();
        assert!(modules.iter().all(|m| !m.text().is_empty()));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), modules.len());
    }
}
