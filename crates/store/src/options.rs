//! RocksDB's settings, each with its reason. Two kinds: the log (append, sync, read back rarely) and the state (no log of its own).

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, DataBlockIndexType, LogLevel,
    Options, WriteBufferManager,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How a column of the state is used. It decides filters, block size and compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A few keys, written with each batch.
    Hot,
    /// Small values found by their whole key.
    Point,
    /// The same, where the key that is looked for is mostly not there.
    Absent,
    /// Values of some kilobytes under growing keys, read in order, dropped by range.
    Sequence,
    /// Large values, written once, read rarely.
    Blob,
}

/// One column of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name on disk.
    pub name: &'static str,
    /// How it is used.
    pub purpose: Purpose,
}

/// How much memory and how many threads the state database may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateOptions {
    /// Bytes for blocks, indexes and filters read from disk.
    pub block_cache: usize,
    /// Bytes of memory tables, over all columns, before they are written out.
    pub write_buffers: usize,
    /// Threads that write out and compact.
    pub background_jobs: u16,
    /// Whether nothing is compacted until [`crate::StateDb::release_compactions`]: a compaction that comes to a damaged block ends all writing, so who wants
    /// to find damage before it does verifies everything first.
    pub hold_compactions: bool,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self { block_cache: 128 * MIB, write_buffers: 256 * MIB, background_jobs: 2, hold_compactions: false }
    }
}

/// What both databases have in common.
fn common(background_jobs: u16) -> Options {
    let mut o = Options::default();
    o.create_if_missing(true);
    o.create_missing_column_families(true);
    o.set_max_background_jobs(background_jobs.into());
    // RocksDB's own log is for post mortems: warnings, two files of 10 MiB.
    o.set_log_level(LogLevel::Warn);
    o.set_keep_log_file_num(2);
    o.set_max_log_file_size(10 * MIB);
    // Statistics in that log every ten minutes are noise.
    o.set_stats_dump_period_sec(0);
    // Write out dirty pages a MiB at a time, so that no fsync of the other database waits behind a hundred.
    o.set_bytes_per_sync(MIB as u64);
    o
}

/// The log database as a whole.
pub(crate) fn log_db() -> Options {
    let mut o = common(2);
    // One fsync into a file with blocks already written costs half of one into new blocks (no size to record).
    o.set_recycle_log_file_num(4);
    // The mode that goes with recycled files: replay ends at the first record that is not whole. Only the record that was being
    // written can be such; everything acknowledged was synced before. `raft` checks that no less came back than was applied.
    o.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A rarely written column must not pin old log files.
    o.set_max_total_wal_size(512 * MIB as u64);
    // There is one writer thread: nobody to share the work with.
    o.set_allow_concurrent_memtable_write(false);
    o.set_enable_write_thread_adaptive_yield(false);
    o
}

/// The entries of the log.
pub(crate) fn log_column() -> Options {
    let mut o = Options::default();
    // Big, so that most entries are purged before they are ever written out a second time.
    o.set_write_buffer_size(128 * MIB);
    o.set_max_write_buffer_number(3);
    // Files wait longer for compaction: by then what they hold is mostly purged, and dropped instead of copied.
    o.set_level_zero_file_num_compaction_trigger(8);
    o.set_level_zero_slowdown_writes_trigger(40);
    o.set_level_zero_stop_writes_trigger(60);
    o.set_target_file_size_base(64 * MIB as u64);
    // Entries live for seconds: compressing them is work for nothing.
    o.set_compression_type(DBCompressionType::None);
    let mut table = BlockBasedOptions::default();
    // Entries are read in order, some at a time.
    table.set_block_size(64 * KIB);
    // They are read from here only at start or by a peer far behind: they shall not push anything else out.
    table.disable_cache();
    o.set_block_based_table_factory(&table);
    o
}

/// Votes and positions: a few keys per group.
pub(crate) fn meta_column() -> Options {
    let mut o = Options::default();
    o.set_write_buffer_size(4 * MIB);
    o.set_compression_type(DBCompressionType::None);
    o
}

/// The state database as a whole, and the memory that its columns share.
pub(crate) struct StateTuning {
    cache: Cache,
    pub(crate) db: Options,
    write_buffers: usize,
    compacts: bool,
}

impl StateTuning {
    pub(crate) fn new(options: StateOptions) -> Self {
        let cache = Cache::new_lru_cache(options.block_cache);
        let mut db = common(options.background_jobs);
        // There is no write-ahead log: only a flush of all columns together leaves a state that some log position describes.
        db.set_atomic_flush(true);
        // Memory tables of all columns together are bounded. Writers are not stopped by it: RocksDB's stalls per column do that.
        db.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(options.write_buffers, false));
        // Keep no more files open than a process may by default.
        db.set_max_open_files(512);
        Self { cache, db, write_buffers: options.write_buffers, compacts: !options.hold_compactions }
    }

    /// For a database that is only to be read, as far as it can be: a file that is missing or damaged is no reason not to open it.
    pub(crate) fn lenient(options: StateOptions) -> Self {
        let mut tuning = Self::new(StateOptions { hold_compactions: true, ..options });
        tuning.db.create_if_missing(false);
        tuning.db.set_paranoid_checks(false);
        tuning
    }

    pub(crate) fn column(&self, purpose: Purpose) -> Options {
        let mut o = Options::default();
        // A column may fill half of the shared memory before it is written out (and with it all others).
        o.set_write_buffer_size((self.write_buffers / 2).max(MIB));
        o.set_max_write_buffer_number(4);
        o.set_disable_auto_compactions(!self.compacts);
        o.set_target_file_size_base(64 * MIB as u64);
        o.set_max_bytes_for_level_base(256 * MIB as u64);
        o.set_block_based_table_factory(&self.table(purpose));
        if purpose == Purpose::Absent {
            // A filter for each memory table too (13 bits a key): a look-up that finds nothing would walk down a list of millions of keys
            // that no processor cache holds, in each of them.
            o.set_memtable_whole_key_filtering(true);
            o.set_memtable_prefix_bloom_ratio(0.02);
        }
        self.compress(&mut o, purpose);
        o
    }

    fn table(&self, purpose: Purpose) -> BlockBasedOptions {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        // Indexes and filters count as memory too: they live in the bounded cache, those of the newest files pinned.
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        match purpose {
            Purpose::Hot | Purpose::Point | Purpose::Absent => {
                // 10 bits: one false look-up in a hundred. Most dedupe look-ups are for keys that don't exist.
                table.set_bloom_filter(10.0, false);
                table.set_optimize_filters_for_memory(true);
                // In parts: the filter of a file with millions of keys is larger than what a shard of the cache holds, and would be read
                // anew, and its checksum computed, at each look-up.
                table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
                table.set_partition_filters(true);
                table.set_pin_top_level_index_and_filter(true);
                table.set_block_size(4 * KIB);
                table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
            }
            Purpose::Sequence => table.set_block_size(32 * KIB),
            // Found one at a time: with larger blocks, most of what is read and kept in the cache is not what was asked for.
            Purpose::Blob => table.set_block_size(8 * KIB),
        }
        table
    }

    fn compress(&self, o: &mut Options, purpose: Purpose) {
        use DBCompressionType::{Lz4, None, Zstd};
        // The first two levels are rewritten within minutes: not worth the work. lz4 is nearly free below; where values are
        // large and stay, zstd at the last level halves the disk.
        let below = if purpose == Purpose::Hot { None } else { Lz4 };
        // Large values are worth it at once: fewer bytes are written, now and by the compactions that follow.
        let first = if purpose == Purpose::Blob { Lz4 } else { None };
        o.set_compression_per_level(&[first, first, below, below, below, below, below]);
        match purpose {
            Purpose::Sequence | Purpose::Blob => o.set_bottommost_compression_type(Zstd),
            Purpose::Point | Purpose::Absent => o.set_bottommost_compression_type(Lz4),
            Purpose::Hot => o.set_bottommost_compression_type(None),
        }
    }

    /// Bytes of the block cache in use.
    pub(crate) fn cache_usage(&self) -> u64 {
        self.cache.get_usage() as u64
    }
}
