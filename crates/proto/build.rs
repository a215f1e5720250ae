//! Generates code from `/proto` with protox: neither protoc nor buf is needed.

use std::error::Error;
use std::path::{Path, PathBuf};

/// What clients see; reflection shows it.
const PUBLIC: [&str; 14] = [
    "flintwheel/v1/admin_service.proto",
    "flintwheel/v1/backup_service.proto",
    "flintwheel/v1/calendar_service.proto",
    "flintwheel/v1/cluster_service.proto",
    "flintwheel/v1/common.proto",
    "flintwheel/v1/dead_letter_service.proto",
    "flintwheel/v1/definition.proto",
    "flintwheel/v1/definition_service.proto",
    "flintwheel/v1/event_service.proto",
    "flintwheel/v1/occurrence.proto",
    "flintwheel/v1/operation_service.proto",
    "flintwheel/v1/run_service.proto",
    "flintwheel/v1/schedule_service.proto",
    "io/cloudevents/v1/cloudevents.proto",
];

/// What nodes say to each other.
const INTERNAL: [&str; 2] = ["flintwheel/peer/v1/join_service.proto", "flintwheel/peer/v1/peer_service.proto"];

/// Written by hand in `src/raw.rs`: their events stay encoded.
const RAW: [&str; 2] = ["PublishRequest", "PublishStreamRequest"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(PUBLIC.iter().chain(&INTERNAL))?;
    write_descriptors(&root)?;
    let mut builder = tonic_prost_build::configure().bytes(".").btree_map(".");
    for name in RAW {
        builder = builder.extern_path(format!(".flintwheel.v1.{name}"), format!("crate::raw::{name}"));
    }
    builder.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// For reflection: without the comments, which would only make the binary larger.
fn write_descriptors(root: &Path) -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(false).open_files(PUBLIC)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(out, compiler.encode_file_descriptor_set())?;
    Ok(())
}
