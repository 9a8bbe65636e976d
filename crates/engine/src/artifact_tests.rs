//! Round trips, other tools, and every way in which somebody may tamper with native code in a file.

use super::*;
use ring::rand::SystemRandom;

fn key() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
}

fn native<'a>(target: &'a str, payload: &'a [u8]) -> Native<'a> {
    Native { target, profile: "program", settings: "O2 avx2", engine: "wasmtime-48.0.8", payload }
}

fn module() -> Vec<u8> {
    wat::parse_str(r#"(module (func (export "_start")) (data "some data"))"#).unwrap()
}

fn component() -> Vec<u8> {
    wat::parse_str(
        r#"(component (core module (func (export "f"))) (instance $i) (export "a" (instance $i)))"#,
    )
    .unwrap()
}

const LINUX: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";

/// A module with code for two targets, and the key that signed them.
fn two() -> (Vec<u8>, Ed25519KeyPair) {
    let key = key();
    let one = append(&module(), &native(LINUX, b"code for linux"), &key).unwrap();
    (append(&one, &native(ARM, &[7; 5000]), &key).unwrap(), key)
}

#[test]
fn what_is_appended_is_found_verified_and_stripped() {
    for wasm in [module(), component()] {
        let key = key();
        let bytes = append(&wasm, &native(LINUX, b"code"), &key).unwrap();
        let [found] = &find(&bytes)[..] else { panic!("one section") };
        assert_eq!(&bytes[found.payload.clone()], b"code");
        assert!(found.is_aligned());
        assert_eq!(
            found.meta,
            Meta {
                target: LINUX.into(),
                profile: "program".into(),
                settings: "O2 avx2".into(),
                engine: "wasmtime-48.0.8".into(),
                wasm_digest: digest(&SHA256, &wasm).as_ref().try_into().unwrap(),
                payload_digest: digest(&SHA256, b"code").as_ref().try_into().unwrap(),
                key_id: PublicKey::of(&key).id(),
            }
        );
        assert_eq!(wasm_digest(&bytes), found.meta.wasm_digest);
        assert_eq!(verify(found, &bytes, &wasm_digest(&bytes), &[PublicKey::of(&key)]), Ok(()));
        assert_eq!(strip(&bytes), wasm);
        assert!(matches!(strip(&wasm), Cow::Borrowed(whole) if whole == wasm));
    }
}

#[test]
fn other_tools_still_read_the_file() {
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true);
    let engine = wasmtime::Engine::new(&config).unwrap();
    let key = key();
    let bytes = append(&module(), &native(LINUX, b"code"), &key).unwrap();
    wasmparser::Validator::new().validate_all(&bytes).unwrap();
    wasmtime::Module::from_binary(&engine, &bytes).unwrap();
    let bytes = append(&component(), &native(LINUX, b"code"), &key).unwrap();
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(&bytes).unwrap();
    wasmtime::component::Component::from_binary(&engine, &bytes).unwrap();
}

#[test]
fn several_targets_live_together_and_one_is_replaced() {
    let (bytes, key) = two();
    let again = append(&bytes, &native(LINUX, &[9; 9000]), &key).unwrap();
    let found = find(&again);
    let summary: Vec<_> =
        found.iter().map(|found| (&*found.meta.target, found.payload.len(), found.is_aligned())).collect();
    assert_eq!(summary, [(ARM, 5000, true), (LINUX, 9000, true)]);
    let digest = wasm_digest(&again);
    for found in &found {
        assert_eq!(verify(found, &again, &digest, &[PublicKey::of(&key)]), Ok(()));
    }
    let server = Native { profile: "server", ..native(LINUX, b"served") };
    assert_eq!(find(&append(&again, &server, &key).unwrap()).len(), 3);
    assert_eq!(strip(&again), module());
}

#[test]
fn a_file_beside_the_wasm_holds_code_of_that_wasm() {
    let key = key();
    let of = wasm_digest(&component());
    let beside = append_to(EMPTY_MODULE, &of, &native(LINUX, b"code"), &key).unwrap();
    let found = find(&beside);
    assert_eq!(verify(&found[0], &beside, &of, &[PublicKey::of(&key)]), Ok(()));
    let other = wasm_digest(&module());
    assert_eq!(verify(&found[0], &beside, &other, &[PublicKey::of(&key)]), Err(VerifyError::OtherWasm));
    assert_eq!(strip(&beside), EMPTY_MODULE);
    assert_eq!(crate::detect::detect(&beside), Ok(crate::detect::Kind::Artifact));
    assert_eq!(SECTION_NAME, crate::detect::NATIVE_SECTION);
}

#[test]
fn a_tool_that_moves_the_section_breaks_only_the_alignment() {
    let (bytes, key) = two();
    let mut moved = EMPTY_MODULE.to_vec();
    moved.extend(b"\0\x03\x02hi");
    moved.extend(&bytes[8..]);
    let found = find(&moved);
    assert_eq!(found.len(), 2);
    let original = wasm_digest(&bytes);
    for found in &found {
        assert!(!found.is_aligned());
        assert_eq!(verify(found, &moved, &original, &[PublicKey::of(&key)]), Ok(()));
        // The tool also changed the wasm, so the code is no longer of this file.
        assert_eq!(
            verify(found, &moved, &wasm_digest(&moved), &[PublicKey::of(&key)]),
            Err(VerifyError::OtherWasm)
        );
    }
    let again = append(&moved, &native(LINUX, b"new"), &key).unwrap();
    assert!(find(&again).iter().all(Found::is_aligned));
}

#[test]
fn only_trusted_keys_count() {
    let (bytes, key) = two();
    let (digest, found) = (wasm_digest(&bytes), find(&bytes));
    let (own, other) = (PublicKey::of(&key), PublicKey::of(&self::key()));
    let unknown = Err(VerifyError::UnknownKey(own.id()));
    assert_eq!(verify(&found[0], &bytes, &digest, &[]), unknown);
    assert_eq!(verify(&found[0], &bytes, &digest, &[other]), unknown);
    assert_eq!(verify(&found[0], &bytes, &digest, &[other, own]), Ok(()));
}

#[test]
fn another_key_under_a_trusted_id_is_refused() {
    let (bytes, key) = two();
    let trusted = PublicKey::of(&key);
    let forged = append(&module(), &native(LINUX, b"evil"), &self::key()).unwrap();
    let found = &find(&forged)[0];
    let at = found.signed.start + 80;
    let mut renamed = forged.clone();
    renamed[at..at + 8].copy_from_slice(&trusted.id().0);
    let found = &find(&renamed)[0];
    assert_eq!(found.meta.key_id, trusted.id());
    assert_eq!(
        verify(found, &renamed, &wasm_digest(&renamed), &[trusted]),
        Err(VerifyError::Signature(trusted.id()))
    );
    // A genuine header before another payload of the same length.
    let genuine = find(&bytes)[0].clone();
    let mut swapped = bytes.clone();
    swapped[genuine.payload.clone()].copy_from_slice(b"evil for linux");
    assert_eq!(
        verify(&find(&swapped)[0], &swapped, &wasm_digest(&swapped), &[trusted]),
        Err(VerifyError::PayloadAltered)
    );
}

#[test]
fn code_of_one_file_is_refused_in_another() {
    let (bytes, key) = two();
    let found = &find(&bytes)[0];
    let mut spliced = component();
    push_section(
        &mut spliced,
        &bytes[found.signed.start..found.signature().end],
        &bytes[found.payload.clone()],
    );
    let found = &find(&spliced)[0];
    assert_eq!(
        verify(found, &spliced, &wasm_digest(&spliced), &[PublicKey::of(&key)]),
        Err(VerifyError::OtherWasm)
    );
}

#[test]
fn no_changed_byte_survives_verification() {
    let key = key();
    let wasm = module();
    let bytes = append(&wasm, &native(LINUX, b"code"), &key).unwrap();
    let trusted = [PublicKey::of(&key)];
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut altered = bytes.clone();
            altered[at] ^= bit;
            let digest = wasm_digest(&altered);
            for found in find(&altered) {
                assert!(verify(&found, &altered, &digest, &trusted).is_err(), "byte {at} is not checked");
            }
        }
    }
}

#[test]
fn bad_fields_are_refused() {
    let (key, wasm) = (key(), module());
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    for target in ["", "a\nb", "\x1b[31m", "größe", &long] {
        let result = append(&wasm, &native(target, b"code"), &key);
        assert_eq!(result, Err(AppendError::Text { field: "target" }), "{target}");
    }
    assert_eq!(append(&wasm, &native(LINUX, b""), &key), Err(AppendError::PayloadSize));
    assert_eq!(append(b"\x7fELF", &native(LINUX, b"code"), &key), Err(AppendError::NotWasm));
    let cut = &wasm[..wasm.len() - 1];
    assert!(matches!(append(cut, &native(LINUX, b"code"), &key), Err(AppendError::Damaged { .. })));
}

#[test]
fn hostile_files_never_panic_and_give_few_sections() {
    let mut many = EMPTY_MODULE.to_vec();
    for n in 0..MAX_SECTIONS + 5 {
        let one = append(EMPTY_MODULE, &native(&n.to_string(), b"x"), &key()).unwrap();
        many.extend(&one[8..]);
    }
    assert_eq!(find(&many).len(), MAX_SECTIONS);
    let (bytes, key) = two();
    let trusted = [PublicKey::of(&key)];
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    let mut damaged = 0;
    for _ in 0..20_000 {
        let mut altered = bytes.clone();
        for _ in 0..=below(3) {
            // Near the headers, where the fields are.
            let at = below(altered.len().min(500));
            match below(3) {
                0 => altered[at] = below(256) as u8,
                1 => altered.truncate(at.max(9)),
                _ => drop(altered.splice(at..at, [0xff; 4])),
            }
        }
        let found = find(&altered);
        damaged += usize::from(found.len() < 2);
        let digest = wasm_digest(&altered);
        for found in found {
            drop(verify(&found, &altered, &digest, &trusted));
        }
        assert!(strip(&altered).len() <= altered.len());
        drop(append(&altered, &native(LINUX, b"new"), &key));
    }
    assert!(damaged > 1000, "the mutations hardly reach the fields: {damaged}");
}
