//! Computes without host calls, for measurements: `compute bodies N` (floating point: a planetary system, N
//! steps), `compute hash N` (integers: N MiB through a 64-bit mixing function), `compute sort N` (memory: N
//! thousand numbers, sorted twenty times). Prints a checksum, so that nothing can be left out.

use std::hint::black_box;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let count: usize =
        arguments.next().and_then(|text| text.parse().ok()).expect("compute bodies|hash|sort N");
    match kind.as_str() {
        "bodies" => println!("{:.9}", bodies(count)),
        "hash" => println!("{:016x}", hash(count << 20)),
        "sort" => println!("{}", sort(count * 1000)),
        other => panic!("`{other}` is not bodies, hash or sort"),
    }
}

/// Positions, velocities and masses of five bodies that attract each other; returns the energy at the end.
fn bodies(steps: usize) -> f64 {
    let mut place =
        [[0.0, 0.0, 0.0], [4.8, -1.1, -0.1], [8.3, 4.1, -0.4], [12.8, -15.1, -0.2], [15.3, -25.9, 0.1]];
    let mut speed =
        [[0.0, 0.0, 0.0], [0.6, 2.8, -0.02], [-1.0, 1.8, 0.008], [1.0, 0.8, -0.01], [0.9, 0.5, -0.03]];
    let mass: [f64; 5] = [39.4, 0.037, 0.011, 0.0017, 0.002];
    const STEP: f64 = 0.001;
    for _ in 0..steps {
        for a in 0..5 {
            for b in a + 1..5 {
                let mut apart = [0.0; 3];
                for axis in 0..3 {
                    apart[axis] = place[a][axis] - place[b][axis];
                }
                let square: f64 = apart.iter().map(|d| d * d).sum();
                let force = STEP / (square * square.sqrt());
                for axis in 0..3 {
                    speed[a][axis] -= apart[axis] * mass[b] * force;
                    speed[b][axis] += apart[axis] * mass[a] * force;
                }
            }
        }
        for (place, speed) in place.iter_mut().zip(&speed) {
            for axis in 0..3 {
                place[axis] += STEP * speed[axis];
            }
        }
    }
    mass.iter().zip(&speed).map(|(mass, speed)| mass * speed.iter().map(|v| v * v).sum::<f64>() / 2.0).sum()
}

fn hash(bytes: usize) -> u64 {
    let block: Vec<u8> = (0..1 << 20).map(|index: u32| index.wrapping_mul(31) as u8).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..bytes >> 20 {
        for word in black_box(&block).chunks_exact(8) {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            state = (state ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31);
        }
    }
    state
}

fn sort(count: usize) -> u64 {
    let mut sum = 0u64;
    for round in 0..20 {
        let mut state = 12345u64 + round;
        let mut numbers: Vec<u64> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 20
        })
        .take(count)
        .collect();
        numbers.sort_unstable();
        sum = sum.wrapping_add(numbers[count / 2]);
    }
    sum
}
