#![no_main]

loupe_fuzz_targets::target!("pt");
