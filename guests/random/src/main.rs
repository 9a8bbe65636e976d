//! Prints N random bytes (32 by default) in hexadecimal; N may be larger than one call may ask for.

fn main() {
    let count = std::env::args().nth(1).map_or(32, |text| text.parse().expect("a count"));
    let mut bytes = vec![0u8; count];
    for chunk in bytes.chunks_mut(256) {
        // SAFETY: the pointer and length are those of one live, writable slice.
        let failed = unsafe { libc::getentropy(chunk.as_mut_ptr().cast(), chunk.len()) };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    }
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{text}");
}
