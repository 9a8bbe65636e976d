//! Takes and touches memory: `memory MIB` takes so much in steps of one MiB, prints how much it got and ends
//! with 9 if it was refused. `memory MIB abort` lets the allocator abort instead, as most programs do.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let wanted: usize = arguments.next().and_then(|text| text.parse().ok()).expect("memory MIB [abort]");
    let abort = arguments.next().as_deref() == Some("abort");
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(wanted);
    for taken in 0..wanted {
        let mut block = Vec::new();
        if abort {
            block.reserve_exact(1 << 20);
        } else if block.try_reserve_exact(1 << 20).is_err() {
            println!("refused after {taken} MiB");
            std::process::exit(9);
        }
        // Touched with something other than zero, so that the pages are really there.
        block.resize(1 << 20, taken as u8 | 1);
        blocks.push(block);
    }
    println!("took {} MiB", blocks.len());
}
