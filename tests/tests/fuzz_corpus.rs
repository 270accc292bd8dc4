//! Every fuzz target over its whole corpus, and over mutations of it, without a fuzzer: `tests/fuzz/run` has one.
//! `FUZZ_MUTATIONS` sets how many of each file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ota_tests::fuzz::{TARGETS, Target};
use ota_tests::rng::Rng;

/// Mutations of each file, where nothing else is set.
const MUTATIONS: u64 = 200;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = target.corpus();
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file of the corpus")).collect()
}

/// One to four changes: a bit, a byte, a piece of another file, a piece duplicated, a piece removed.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng, bytes_max: usize) {
    for _ in 0..rng.between(1, 5) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        let len = rng.below(16) as usize;
        match rng.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = rng.pick(&[0, 1, 0x7F, 0x80, 0xFF, b'"', b'\\', b'{', b'0']),
            2 => {
                let other = &others[rng.below(others.len() as u64) as usize];
                let from = rng.below(other.len() as u64 + 1) as usize;
                let piece = other[from..(from + len).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..(at + len).min(bytes.len()), [])),
            _ => {
                let piece = bytes[at..(at + len).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes.truncate(bytes_max);
}

#[test]
fn no_target_finds_anything_in_its_corpus_or_near_it() {
    let mutations = std::env::var("FUZZ_MUTATIONS").map_or(MUTATIONS, |count| count.parse().expect("a number"));
    for target in TARGETS {
        let corpus = corpus(&target);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let mut rng = Rng::new(1);
        let mut runs = 0;
        for file in &corpus {
            for mutation in 0..=mutations {
                let mut bytes = file.clone();
                if mutation > 0 {
                    mutate(&mut bytes, &corpus, &mut rng, target.bytes_max);
                }
                runs += 1;
                let run = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
                assert!(run.is_ok(), "{} panics for {:?}", target.name, bytes);
            }
        }
        println!("{}: {} files, {runs} runs", target.name, corpus.len());
    }
}
