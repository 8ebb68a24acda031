//! The CUDA driver's host code against a driver without a device, compiled by the machine's C++ compiler: what it asks
//! for, in which order, what it frees, and what it says when something fails. Linux alone: elsewhere no library can
//! stand in for another by its name.
#![cfg(target_os = "linux")]

mod fake;

use fake::{Fake, fake};
use rmr1_core::Error;
use rmr1_core::backend::cuda::device::{Array, Device, launch};
use rmr1_core::backend::cuda::driver::{Arg, Format, Grid, Memory, Operand, Product};
use rmr1_core::backend::cuda::kernels::{Activation, Kernel, Module};
use rmr1_core::backend::cuda::nvidia;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Adds the number of blocks to each value: what the fake driver's only kernel does.
const KERNEL: Kernel = Kernel { module: Module::new("rowwise", Activation::F32), name: "rms_norm" };

/// `CUDA_ERROR_ILLEGAL_ADDRESS`.
const ILLEGAL_ADDRESS: i32 = 700;

fn add(device: &Device, blocks: usize, from: &Array<f32>, to: &mut Array<f32>) -> rmr1_core::Result<()> {
    let count = from.len() as u32;
    launch(device, KERNEL, Grid::new(blocks, 32), &[Arg::from(from), Arg::from(to), Arg::from(count)])
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i % 1000) as f32).collect()
}

/// Nothing was touched outside of what is allocated, nothing freed twice, nothing left.
fn settle(fake: &Fake, device: Device) {
    drop(device);
    assert_eq!((fake.misuse(), fake.in_use()), (0, 0));
}

#[test]
fn a_device_is_opened_and_described() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    assert_eq!(device.describe(), "cuda:0 (Fake, 1.0 GiB, compute capability 9.0)");
    assert_eq!((device.multiprocessors(), device.max_shared()), (132, 227 << 10));
    assert_eq!(nvidia::devices().unwrap()[0].to_string(), device.describe());
    settle(&fake, device);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some(fake) = fake() else { return };
    let message = |ordinal| nvidia::open(ordinal).err().unwrap().to_string();
    assert_eq!(message(3), "No device \"cuda:3\": there is one, \"cuda:0\"");
    fake.devices(1, 7);
    assert!(message(0).contains("capability 7.0) is too old"), "{}", message(0));
    fake.devices(0, 9);
    assert_eq!(message(0), "No CUDA device found");
    fake.devices(1, 9);
    fake.version(12_020);
    assert!(message(0).starts_with("The driver supports CUDA 12.2"), "{}", message(0));
    fake.version(12_040);
    assert!(message(0).contains("NVRTC 13.0, but the driver supports CUDA 12.4"), "{}", message(0));
}

#[test]
fn uploads_hold_what_the_host_had_although_it_changes_at_once() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    let mut host = values(1);
    let arrays: Vec<Array<f32>> = (0..5000)
        .map(|i| {
            host[0] = i as f32;
            Array::upload(&device, &host).unwrap()
        })
        .collect();
    let mut large = values(11 << 20);
    let whole = Array::upload(&device, &large).unwrap();
    large.fill(-1.0);
    assert_eq!(whole.download().unwrap(), values(11 << 20));
    for (i, array) in arrays.iter().enumerate() {
        assert_eq!(array.download().unwrap(), [i as f32]);
    }
    drop((arrays, whole));
    settle(&fake, device);
}

#[test]
fn launches_pass_their_arguments_and_refuse_wrong_ones() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    let x = Array::upload(&device, &values(100)).unwrap();
    let mut y = Array::zeros(&device, 100).unwrap();
    add(&device, 7, &x, &mut y).unwrap();
    let expected: Vec<f32> = values(100).iter().map(|x| x + 7.0).collect();
    assert_eq!(y.download().unwrap(), expected);
    let wrong = device.launch(KERNEL, Grid::new(1, 32), &[Arg(0)]).unwrap_err().to_string();
    assert!(wrong.contains("takes 3 arguments and was given 1"), "{wrong}");
    let unknown = Kernel { name: "no_kernel", ..KERNEL };
    let missing = device.launch(unknown, Grid::new(1, 32), &[]).unwrap_err().to_string();
    assert!(missing.contains("loading the kernel \"no_kernel\" of \"rowwise.float\" failed"), "{missing}");
    let args = [Arg::from(&x), Arg::from(&mut y), Arg::from(100u32)];
    let raised = fake.raised();
    for _ in 0..3 {
        device.launch(KERNEL, Grid::new(1, 32).shared(100 << 10), &args).unwrap();
    }
    assert_eq!(fake.raised(), raised + 1, "shared memory is asked for once a kernel");
    drop((x, y));
    settle(&fake, device);
}

#[test]
fn a_recording_keeps_the_memory_that_it_uses() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    let mut x = Array::upload(&device, &values(64)).unwrap();
    let mut given = Some(Array::upload(&device, &[100.0f32; 64]).unwrap());
    let mut out = Array::zeros(&device, 64).unwrap();
    let before = fake.in_use();
    let recording = device
        .record(&mut || {
            for blocks in [1, 2] {
                let mut between = Array::unspecified(&device, 64)?;
                add(&device, blocks, &x, &mut between)?;
                x.copy_from(&between)?;
            }
            if let Some(given) = given.take() {
                add(&device, 5, &given, &mut out)?;
            }
            Array::<f32>::zeros(&device, 64).map(drop)?;
            Array::<f32>::zeros(&device, 64).map(drop)
        })
        .unwrap();
    assert_eq!(x.download().unwrap(), values(64), "recorded work is not done");
    assert_eq!(fake.in_use(), before + 256, "the second array took the first one's place");
    let other = Array::upload(&device, &[0.0f32; 64]).unwrap();
    for replays in 1..4 {
        device.replay(recording).unwrap();
        let expected: Vec<f32> = values(64).iter().map(|x| x + 3.0 * replays as f32).collect();
        assert_eq!(x.download().unwrap(), expected);
        assert_eq!(out.download().unwrap(), [105.0; 64], "what was freed meanwhile still holds its values");
    }
    assert_eq!(other.download().unwrap(), [0.0; 64]);
    device.forget(recording);
    assert!(device.replay(recording).is_err());
    drop((x, out, other));
    settle(&fake, device);
}

#[test]
fn a_recording_that_fails_leaves_nothing() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    let x = Array::upload(&device, &values(64)).unwrap();
    let before = fake.in_use();
    let failed = device.record(&mut || {
        let mut y = Array::unspecified(&device, 64)?;
        add(&device, 1, &x, &mut y)?;
        Array::upload(&device, &values(8)).map(drop)
    });
    assert_eq!(failed.unwrap_err().to_string(), "Internal error: An upload is no part of a recording");
    device.synchronize().unwrap();
    assert_eq!(fake.in_use(), before);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        device.record(&mut || {
            let mut y = Array::unspecified(&device, 64)?;
            add(&device, 1, &x, &mut y)?;
            panic!("within a recording")
        })
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"within a recording"));
    device.synchronize().unwrap();
    assert_eq!(fake.in_use(), before);
    let recording = device.record(&mut || Ok(())).unwrap();
    device.replay(recording).unwrap();
    drop(x);
    settle(&fake, device);
}

#[test]
fn memory_that_runs_out_is_looked_for_once_more_and_then_told_in_bytes() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    let Memory { free, total } = device.memory().unwrap();
    let quarter = free / 4;
    let held = Array::<u8>::unspecified(&device, quarter).unwrap();
    // Given back, but not before the device gets there.
    drop(Array::<u8>::unspecified(&device, 3 * quarter).unwrap());
    let again = Array::<u8>::unspecified(&device, 3 * quarter).unwrap();
    drop(again);
    device.synchronize().unwrap();
    fake.reserve(quarter);
    assert_eq!(
        device.memory().unwrap(),
        Memory { free: free - quarter, total },
        "what the pool keeps is free"
    );
    let trimmed = Array::<u8>::unspecified(&device, 3 * quarter).unwrap();
    match Array::<u8>::unspecified(&device, quarter + 1).err() {
        Some(Error::Memory { needed, free: left, total: all }) => {
            assert_eq!((needed, left, all), (quarter + 1, free - 4 * quarter, total));
        }
        other => panic!("{other:?}"),
    }
    drop((held, trimmed));
    settle(&fake, device);
}

#[test]
fn a_lost_device_says_so_in_every_call_and_ends_quietly() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    let x = Array::upload(&device, &values(64)).unwrap();
    let mut y = Array::zeros(&device, 64).unwrap();
    let recording = device.record(&mut || add(&device, 1, &x, &mut y)).unwrap();
    device.replay(recording).unwrap();
    add(&device, 1, &x, &mut y).unwrap();
    fake.failure(ILLEGAL_ADDRESS);
    let first = y.download().unwrap_err();
    assert_eq!(first.kind(), "device");
    for part in [
        "was lost",
        "CUDA_ERROR_ILLEGAL_ADDRESS",
        "after the launches of the recording 0, \"rms_norm\" of",
        "a download",
        "Checkpoints",
    ] {
        assert!(first.to_string().contains(part), "{part}: {first}");
    }
    let later = [
        x.download().err(),
        y.clear().err(),
        add(&device, 1, &x, &mut y).err(),
        Array::upload(&device, &values(8)).err(),
        Array::<f32>::unspecified(&device, 8).err(),
        device.replay(recording).err(),
        device.record(&mut || Ok(())).err(),
        device.synchronize().err(),
        device.memory().err(),
    ];
    for error in later {
        assert_eq!(error.map(|e| e.to_string()), Some(first.to_string()));
    }
    device.forget(recording);
    drop((x, y, device));
}

#[test]
fn a_product_needs_its_library_and_says_so() {
    let Some(fake) = fake() else { return };
    let device = nvidia::open(0).unwrap();
    let a = Array::upload(&device, &values(16)).unwrap();
    let c = Array::upload(&device, &values(16)).unwrap();
    let operand = |at| Operand { at, stride: 4, transposed: false };
    let product = |shape, add| Product {
        shape,
        operands: Format::F32,
        a: operand(a.address()),
        b: operand(a.address()),
        c: operand(c.address()),
        result: Format::F32,
        add,
    };
    let missing = device.product(&product([4, 4, 4], false)).unwrap_err().to_string();
    assert!(missing.starts_with("cuBLASLt was not found"), "{missing}");
    device.product(&product([4, 4, 0], true)).unwrap();
    assert_eq!(c.download().unwrap(), values(16));
    device.product(&product([3, 2, 0], false)).unwrap();
    let expected: Vec<f32> = values(16)
        .into_iter()
        .enumerate()
        .map(|(i, x)| if i / 4 < 3 && i % 4 < 2 { 0.0 } else { x })
        .collect();
    assert_eq!(c.download().unwrap(), expected, "a product over nothing is zero");
    drop((a, c));
    settle(&fake, device);
}

/// Values that bf16 holds exactly, as do their products' sums.
fn small(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 5 + seed) % 7) as f32 - 3.0).collect()
}

fn stored(device: &Device, format: Format, values: &[f32]) -> Array<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| bytes_of(format, *x)).collect();
    Array::upload(device, &bytes).unwrap()
}

fn bytes_of(format: Format, x: f32) -> Vec<u8> {
    match format {
        Format::F32 => x.to_le_bytes().to_vec(),
        Format::Bf16 => half::bf16::from_f32(x).to_le_bytes().to_vec(),
    }
}

#[test]
fn products_are_asked_for_as_they_were_meant() {
    let Some(fake) = fake() else { return };
    let library = fake.cublaslt();
    let device = nvidia::open(0).unwrap();
    let ([m, n, k], gap) = ([3, 5, 4], 2);
    let formats = [(Format::F32, Format::F32), (Format::Bf16, Format::Bf16), (Format::Bf16, Format::F32)];
    for case in 0..8 {
        let [ta, tb, add] = [1, 2, 4].map(|bit| case & bit != 0);
        for (operands, result) in formats {
            let side = |rows: usize, columns: usize, transposed: bool| {
                if transposed { (columns, rows + gap) } else { (rows, columns + gap) }
            };
            let ((ra, sa), (rb, sb)) = (side(m, k, ta), side(k, n, tb));
            let (a, b, c) = (small(ra * sa, 1), small(rb * sb, 2), small(m * (n + gap), 3));
            let arrays =
                [stored(&device, operands, &a), stored(&device, operands, &b), stored(&device, result, &c)];
            device.synchronize().unwrap();
            let operand =
                |i: usize, stride, transposed| Operand { at: arrays[i].address(), stride, transposed };
            let product = Product {
                shape: [m, n, k],
                operands,
                a: operand(0, sa, ta),
                b: operand(1, sb, tb),
                c: operand(2, n + gap, false),
                result,
                add,
            };
            device.product(&product).unwrap();
            let asked = library.count("fake_asked");
            let get = |data: &[f32], stride, transposed, i: usize, j: usize| {
                let (i, j) = if transposed { (j, i) } else { (i, j) };
                data[i * stride + j]
            };
            let mut expected = c.clone();
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 = (0..k).map(|l| get(&a, sa, ta, i, l) * get(&b, sb, tb, l, j)).sum();
                    let at = &mut expected[i * (n + gap) + j];
                    *at = sum + if add { *at } else { 0.0 };
                }
            }
            let bytes: Vec<u8> = expected.iter().flat_map(|x| bytes_of(result, *x)).collect();
            assert_eq!(arrays[2].download().unwrap(), bytes, "{product:?}");
            device.product(&product).unwrap();
            assert_eq!(library.count("fake_asked"), asked, "an algorithm is chosen once a shape");
        }
    }
    let narrowing = Product {
        shape: [1, 1, 1],
        operands: Format::F32,
        a: Operand { at: 256, stride: 1, transposed: false },
        b: Operand { at: 256, stride: 1, transposed: false },
        c: Operand { at: 256, stride: 1, transposed: false },
        result: Format::Bf16,
        add: false,
    };
    let refused = device.product(&narrowing).unwrap_err().to_string();
    assert_eq!(refused, "cuBLASLt has no algorithm for a product of 1 × 1 by 1 × 1 (F32 to Bf16)");
    settle(&fake, device);
    assert_eq!(library.count("fake_open_objects"), 0);
}
