//! Products of matrices by cuBLASLt, with what it chose for a shape kept.

use super::super::compile::Version;
use super::super::driver::{Address, Format, Operand, Product};
use super::super::libraries::{self, CublasLt, Heuristic};
use super::faults::Work;
use super::queue::Queue;
use crate::{Error, Result};
use cudarc::cublaslt::sys as lt;
use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

/// Alignments beyond this change nothing.
const MAX_ALIGNMENT: u64 = 256;

/// All that a choice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    shape: [usize; 3],
    strides: [usize; 3],
    transposed: [bool; 2],
    operands: Format,
    result: Format,
    add: bool,
    /// Of a, b and c, in bytes.
    alignments: [u32; 3],
}

/// The largest power of two that divides an address.
fn alignment(at: Address) -> u32 {
    (1 << at.trailing_zeros().min(MAX_ALIGNMENT.trailing_zeros())) as u32
}

impl From<&Product> for Key {
    fn from(product: &Product) -> Self {
        let Product { shape, operands, a, b, c, result, add } = *product;
        Self {
            shape,
            strides: [a.stride, b.stride, c.stride],
            transposed: [a.transposed, b.transposed],
            operands,
            result,
            add,
            alignments: [a, b, c].map(|matrix| alignment(matrix.at)),
        }
    }
}

/// One side of a product as cuBLASLt sees it, column by column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Matrix {
    rows: usize,
    columns: usize,
    /// Elements from one column to the next.
    leading: usize,
    /// Whether its transpose is multiplied.
    transposed: bool,
    alignment: u32,
}

/// The product as cuBLASLt is asked for it: left · right = result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ByColumns {
    left: Matrix,
    right: Matrix,
    result: Matrix,
}

impl From<&Key> for ByColumns {
    /// Memory that holds a matrix row by row holds its transpose column by column, and cᵀ = bᵀ · aᵀ. So the sides are
    /// exchanged, and each is transposed exactly where it was.
    fn from(key: &Key) -> Self {
        let [m, n, k] = key.shape;
        let matrix = |side: usize, [rows, columns]: [usize; 2], transposed: bool| {
            // As stored, row by row.
            let [rows, columns] = if transposed { [columns, rows] } else { [rows, columns] };
            let (leading, alignment) = (key.strides[side], key.alignments[side]);
            Matrix { rows: columns, columns: rows, leading, transposed, alignment }
        };
        Self {
            left: matrix(1, [k, n], key.transposed[1]),
            right: matrix(0, [m, k], key.transposed[0]),
            result: matrix(2, [m, n], false),
        }
    }
}

/// What was made and chosen for a key.
struct Choice {
    operation: lt::cublasLtMatmulDesc_t,
    /// Of the left, the right and the result.
    layouts: [lt::cublasLtMatrixLayout_t; 3],
    algorithm: lt::cublasLtMatmulAlgo_t,
}

/// cuBLASLt on a device.
pub(super) struct Products {
    library: CublasLt,
    handle: lt::cublasLtHandle_t,
    workspace: Address,
    workspace_bytes: usize,
    choices: HashMap<Key, Choice>,
}

// SAFETY: the library may be called from any thread, and its objects are used by one at a time, which a lock sees to.
unsafe impl Send for Products {}

impl Products {
    /// Opens the library. `major` is of the device's compute capability.
    pub(super) fn open(queue: &Queue, major: u32, driver: Version) -> Result<Self> {
        let library = CublasLt::open(libraries::folder().as_deref(), driver)?;
        // SAFETY: the function takes nothing.
        let version = Version::of(unsafe { (library.cuda_version)() });
        if version.major > driver.major {
            return Err(Error::Device(format!(
                "cuBLASLt is of CUDA {version}, but the driver supports CUDA {driver}: a driver for CUDA {}.0 or newer \
                 is needed, or cuBLASLt of CUDA {}",
                version.major, driver.major
            )));
        }
        // As much as the library's own default for a device ("cuBLAS", `cublasSetWorkspace`: 32 MiB for compute
        // capability 9.0), and room for more splits of k.
        let workspace_bytes = if major >= 9 { 64 << 20 } else { 32 << 20 };
        let workspace = queue.allocate_aside(workspace_bytes)?;
        let mut handle = null_mut();
        // SAFETY: the context is current.
        let status = unsafe { (library.create)(&mut handle) };
        if let Err(error) = check(&library, status, "starting") {
            queue.free(workspace);
            return Err(error);
        }
        Ok(Self { library, handle, workspace, workspace_bytes, choices: HashMap::new() })
    }

    /// Asks for a product.
    pub(super) fn multiply(&mut self, queue: &Queue, product: &Product) -> Result<()> {
        let key = Key::from(product);
        if !self.choices.contains_key(&key) {
            let choice = choose(&self.library, self.handle, &key, self.workspace_bytes)?;
            self.choices.insert(key, choice);
        }
        let Choice { operation, layouts: [left, right, result], algorithm } = &self.choices[&key];
        let (one, before) = (1f32, if product.add { 1f32 } else { 0f32 });
        let address = |matrix: Operand| matrix.at as *mut c_void;
        let c = address(product.c);
        // SAFETY: the descriptions were made for this key; what lies at the addresses is the caller's part.
        let status = unsafe {
            (self.library.matmul)(
                self.handle,
                *operation,
                (&raw const one).cast(),
                address(product.b),
                *left,
                address(product.a),
                *right,
                (&raw const before).cast(),
                c,
                *result,
                c,
                *result,
                algorithm,
                self.workspace as *mut c_void,
                self.workspace_bytes,
                queue.stream.cast(),
            )
        };
        check(&self.library, status, &described(&key))?;
        queue.faults.launched(Work::Product(product.shape));
        Ok(())
    }

    /// Closes the library.
    pub(super) fn close(self, queue: &Queue) {
        for choice in self.choices.values() {
            discard(&self.library, choice.operation, &choice.layouts);
        }
        // SAFETY: nobody uses it any more. For a lost device it fails, which changes nothing.
        let _ = unsafe { (self.library.destroy)(self.handle) };
        queue.free(self.workspace);
    }
}

/// As errors call a product.
fn described(key: &Key) -> String {
    let [m, n, k] = key.shape;
    format!("a product of {m} × {k} by {k} × {n} ({:?} to {:?})", key.operands, key.result)
}

fn data_type(format: Format) -> lt::cudaDataType_t {
    match format {
        Format::F32 => lt::cudaDataType_t::CUDA_R_32F,
        Format::Bf16 => lt::cudaDataType_t::CUDA_R_16BF,
    }
}

fn check(library: &CublasLt, status: u32, doing: &str) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the function gives a constant text for any number.
    let name = unsafe { CStr::from_ptr((library.status_name)(status)) };
    Err(Error::Device(format!("cuBLASLt failed at {doing}: {}", name.to_string_lossy())))
}

fn discard(library: &CublasLt, operation: lt::cublasLtMatmulDesc_t, layouts: &[lt::cublasLtMatrixLayout_t]) {
    // SAFETY: each was made by the library or is null, and nobody uses it any more.
    unsafe {
        for &layout in layouts.iter().filter(|layout| !layout.is_null()) {
            (library.destroy_layout)(layout);
        }
        if !operation.is_null() {
            (library.destroy_operation)(operation);
        }
    }
}

fn choose(library: &CublasLt, handle: lt::cublasLtHandle_t, key: &Key, workspace: usize) -> Result<Choice> {
    let mut choice = Choice {
        operation: null_mut(),
        layouts: [null_mut(); 3],
        algorithm: lt::cublasLtMatmulAlgo_t { data: [0; 8] },
    };
    let mut preference = null_mut();
    // SAFETY: the handle is open.
    let chosen = unsafe { fill(library, handle, key, workspace, &mut choice, &mut preference) };
    if !preference.is_null() {
        // SAFETY: it was made by the library, and nobody uses it any more.
        unsafe { (library.destroy_preference)(preference) };
    }
    match chosen {
        Ok(()) => Ok(choice),
        Err(error) => {
            discard(library, choice.operation, &choice.layouts);
            Err(error)
        }
    }
}

/// # Safety
/// The handle must be open. What was made is in `choice` and `preference` even if this fails.
unsafe fn fill(
    library: &CublasLt,
    handle: lt::cublasLtHandle_t,
    key: &Key,
    workspace: usize,
    choice: &mut Choice,
    preference: &mut lt::cublasLtMatmulPreference_t,
) -> Result<()> {
    use lt::cublasLtMatmulDescAttributes_t as Attribute;
    use lt::cublasLtMatmulPreferenceAttributes_t as Preference;
    let doing = described(key);
    let check = |status| check(library, status, &doing);
    let ByColumns { left, right, result } = ByColumns::from(key);
    // Products and sums in full f32: TF32 has to be asked for by another type.
    let (compute, scale) = (lt::cublasComputeType_t::CUBLAS_COMPUTE_32F, lt::cudaDataType_t::CUDA_R_32F);
    // SAFETY: the library reads each attribute's bytes before it returns, and they are of the attribute's type.
    unsafe {
        check((library.create_operation)(&mut choice.operation, compute, scale))?;
        for (attribute, transposed) in [
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, left.transposed),
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, right.transposed),
        ] {
            // CUBLAS_OP_N and CUBLAS_OP_T.
            let value = i32::from(transposed);
            check((library.set_operation)(choice.operation, attribute, (&raw const value).cast(), 4))?;
        }
        let formats = [key.operands, key.operands, key.result];
        for ((layout, matrix), format) in choice.layouts.iter_mut().zip([left, right, result]).zip(formats) {
            let (rows, columns) = (matrix.rows as u64, matrix.columns as u64);
            let made =
                (library.create_layout)(layout, data_type(format), rows, columns, matrix.leading as i64);
            check(made)?;
        }
        check((library.create_preference)(preference))?;
        let bytes = workspace as u64;
        let attribute = Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        check((library.set_preference)(*preference, attribute, (&raw const bytes).cast(), 8))?;
        // Where k is split, the parts are f32 in the workspace and are added in a step of their own, in one order
        // ("cuBLAS", `cublasLtReductionScheme_t`). Adding them in place, or as bf16, is not allowed.
        let scheme = lt::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        let attribute = Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
        check((library.set_preference)(*preference, attribute, (&raw const scheme).cast(), 4))?;
        for (attribute, alignment) in [
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, left.alignment),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, right.alignment),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, result.alignment),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, result.alignment),
        ] {
            check((library.set_preference)(*preference, attribute, (&raw const alignment).cast(), 4))?;
        }
        let (mut found, mut count) = (Heuristic::empty(), 0);
        let [a, b, c] = choice.layouts;
        check((library.heuristic)(
            handle,
            choice.operation,
            a,
            b,
            c,
            c,
            *preference,
            1,
            &mut found,
            &mut count,
        ))?;
        if count < 1 || found.status != 0 {
            return Err(Error::Device(format!("cuBLASLt has no algorithm for {doing}")));
        }
        choice.algorithm = found.algorithm;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Multiplies as the definition of cuBLASLt's product says: element (i, j) of a matrix is at i + j · leading.
    fn multiply(left: (&[f32], Matrix), right: (&[f32], Matrix), result: Matrix) -> Vec<f32> {
        let get = |(data, matrix): (&[f32], Matrix), i: usize, j: usize| {
            let (i, j) = if matrix.transposed { (j, i) } else { (i, j) };
            assert!(i < matrix.rows && j < matrix.columns);
            data[i + j * matrix.leading]
        };
        let depth = if left.1.transposed { left.1.rows } else { left.1.columns };
        let mut out = vec![0.0; (result.columns - 1) * result.leading + result.rows];
        for i in 0..result.rows {
            for j in 0..result.columns {
                out[i + j * result.leading] = (0..depth).map(|l| get(left, i, l) * get(right, l, j)).sum();
            }
        }
        out
    }

    proptest! {
        #[test]
        fn products_by_rows_are_products_by_columns_with_the_sides_exchanged(
            (m, n, k) in (1..6usize, 1..6usize, 1..6usize),
            ta in any::<bool>(),
            tb in any::<bool>(),
            gap in 0..3usize,
        ) {
            let stored = |rows, columns, transposed| if transposed { (columns, rows) } else { (rows, columns) };
            let ((ra, ca), (rb, cb)) = (stored(m, k, ta), stored(k, n, tb));
            let values = |count: usize, seed: usize| -> Vec<f32> {
                (0..count).map(|i| ((i * 7 + seed) % 11) as f32 - 5.0).collect()
            };
            let (a, b) = (values(ra * (ca + gap), 1), values(rb * (cb + gap), 2));
            let at = |stride, transposed| Operand { at: 256, stride, transposed };
            let product = Product {
                shape: [m, n, k],
                operands: Format::F32,
                a: at(ca + gap, ta),
                b: at(cb + gap, tb),
                c: at(n + gap, false),
                result: Format::F32,
                add: false,
            };
            let ByColumns { left, right, result } = ByColumns::from(&Key::from(&product));
            let found = multiply((&b, left), (&a, right), result);
            for i in 0..m {
                for j in 0..n {
                    let get = |data: &[f32], matrix: Operand, i: usize, j: usize| {
                        let (i, j) = if matrix.transposed { (j, i) } else { (i, j) };
                        data[i * matrix.stride + j]
                    };
                    let expected: f32 = (0..k).map(|l| get(&a, product.a, i, l) * get(&b, product.b, l, j)).sum();
                    prop_assert_eq!(found[i * (n + gap) + j], expected);
                }
            }
        }
    }

    #[test]
    fn choices_depend_on_alignment_up_to_256_bytes() {
        assert_eq!([0, 256, 512, 768, 2, 24].map(alignment), [256, 256, 256, 256, 2, 8]);
    }
}
