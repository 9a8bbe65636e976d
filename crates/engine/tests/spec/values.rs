//! Values as scripts write them, and as the engine has them.

use wasmtime::{AnyRef, ExternRef, Result, Store, Val, bail};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};

/// The value that a script passes to a function.
pub fn argument(store: &mut Store<()>, argument: &WastArgCore<'_>) -> Result<Val> {
    Ok(match argument {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(u128::from_le_bytes(value.to_le_bytes()).into()),
        WastArgCore::RefNull(HeapType::Abstract { ty, .. }) => null(*ty)?,
        WastArgCore::RefExtern(number) => Val::ExternRef(Some(ExternRef::new(store, *number)?)),
        WastArgCore::RefHost(number) => {
            let external = ExternRef::new(&mut *store, *number)?;
            Val::AnyRef(Some(AnyRef::convert_extern(store, external)?))
        }
        other => bail!("an argument that is not known: {other:?}"),
    })
}

fn null(of: AbstractHeapType) -> Result<Val> {
    use AbstractHeapType as Heap;
    Ok(match of {
        Heap::Func | Heap::NoFunc => Val::FuncRef(None),
        Heap::Extern | Heap::NoExtern => Val::ExternRef(None),
        Heap::Any | Heap::Eq | Heap::Struct | Heap::Array | Heap::I31 | Heap::None => Val::AnyRef(None),
        Heap::Exn | Heap::NoExn => Val::ExnRef(None),
        other => bail!("a null that is not known: {other:?}"),
    })
}

/// Whether a result is what the script expects. Numbers are compared bit by bit.
pub fn matches(store: &mut Store<()>, found: &Val, expected: &WastRetCore<'_>) -> Result<bool> {
    use WastRetCore::*;
    Ok(match (expected, found) {
        (Either(all), _) => {
            for one in all {
                if matches(store, found, one)? {
                    return Ok(true);
                }
            }
            false
        }
        (I32(expected), Val::I32(found)) => expected == found,
        (I64(expected), Val::I64(found)) => expected == found,
        (F32(expected), Val::F32(found)) => f32_matches(expected, *found),
        (F64(expected), Val::F64(found)) => f64_matches(expected, *found),
        (V128(expected), Val::V128(found)) => v128_matches(expected, found.as_u128().to_le_bytes()),
        (RefNull(_), Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None)) => {
            true
        }
        (RefFunc(_), Val::FuncRef(found)) => found.is_some(),
        (RefExtern(None), Val::ExternRef(found)) => found.is_some(),
        (RefExtern(Some(number)), Val::ExternRef(Some(found))) => is_number(store, *found, *number)?,
        (RefHost(number), Val::AnyRef(Some(found))) => {
            let external = ExternRef::convert_any(&mut *store, *found)?;
            is_number(store, external, *number)?
        }
        (RefAny, Val::AnyRef(found)) => found.is_some(),
        (RefEq, Val::AnyRef(Some(found))) => found.is_eqref(store)?,
        (RefArray, Val::AnyRef(Some(found))) => found.is_array(store)?,
        (RefStruct, Val::AnyRef(Some(found))) => found.is_struct(store)?,
        (RefI31, Val::AnyRef(Some(found))) => found.is_i31(store)?,
        _ => false,
    })
}

fn is_number(store: &Store<()>, found: wasmtime::Rooted<ExternRef>, number: u32) -> Result<bool> {
    Ok(found.data(store)?.and_then(|data| data.downcast_ref::<u32>()) == Some(&number))
}

/// The sign of a NaN is free. A canonical one has only the first bit of its payload; an arithmetic one has
/// that bit and perhaps others (<https://webassembly.github.io/spec/core/syntax/values.html#floating-point>).
fn f32_matches(expected: &NanPattern<F32>, found: u32) -> bool {
    const CANONICAL: u32 = 0x7fc0_0000;
    match expected {
        NanPattern::CanonicalNan => found & !(1 << 31) == CANONICAL,
        NanPattern::ArithmeticNan => found & CANONICAL == CANONICAL,
        NanPattern::Value(value) => value.bits == found,
    }
}

/// As [`f32_matches`].
fn f64_matches(expected: &NanPattern<F64>, found: u64) -> bool {
    const CANONICAL: u64 = 0x7ff8_0000_0000_0000;
    match expected {
        NanPattern::CanonicalNan => found & !(1 << 63) == CANONICAL,
        NanPattern::ArithmeticNan => found & CANONICAL == CANONICAL,
        NanPattern::Value(value) => value.bits == found,
    }
}

fn v128_matches(expected: &V128Pattern, found: [u8; 16]) -> bool {
    fn lanes<const LANES: usize, const BYTES: usize>(bytes: &[u8; 16]) -> [[u8; BYTES]; LANES] {
        std::array::from_fn(|lane| std::array::from_fn(|byte| bytes[lane * BYTES + byte]))
    }
    match expected {
        V128Pattern::I8x16(all) => *all == lanes(&found).map(i8::from_le_bytes),
        V128Pattern::I16x8(all) => *all == lanes(&found).map(i16::from_le_bytes),
        V128Pattern::I32x4(all) => *all == lanes(&found).map(i32::from_le_bytes),
        V128Pattern::I64x2(all) => *all == lanes(&found).map(i64::from_le_bytes),
        V128Pattern::F32x4(all) => {
            let found = lanes::<4, 4>(&found).map(u32::from_le_bytes);
            all.iter().zip(found).all(|(expected, found)| f32_matches(expected, found))
        }
        V128Pattern::F64x2(all) => {
            let found = lanes::<2, 8>(&found).map(u64::from_le_bytes);
            all.iter().zip(found).all(|(expected, found)| f64_matches(expected, found))
        }
    }
}
