//! Micro benchmarks by criterion; they stand in `benches/`.
