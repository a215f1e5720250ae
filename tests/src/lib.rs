//! Tests of the whole: real processes, a real Temporal server; and of the repository itself. They stand in `tests/tests/`.
