//! Bounds of storage, each with its reason. Every one is met in a long run of the simulation.

use std::time::Duration;

/// Longest key of a storage tree, in bytes. A primary key needs at most 128; an index entry carries a value and a
/// primary key. Short enough that an inner node of a few kilobytes still holds several keys.
pub const STORAGE_KEY_BYTES: usize = 2 * 1024;

/// Longest value of a storage tree, in bytes: a document may be as long as half of the largest frame a driver may send.
pub const STORAGE_VALUE_BYTES: usize = 64 * 1024 * 1024;

/// What a store counts (commits, groups, segments, checkpoints, extents, entries, names of trees) never comes near this: a
/// million a second reach it in 36,000 years. A greater number in a file is damage, and sums of such numbers overflow
/// nowhere.
pub const STORAGE_NUMBER_MAX: u64 = 1 << 60;

/// Most bytes of one write batch (keys, values and [`STORAGE_OPERATION_BYTES`] an operation). A batch is one log record
/// and is held in memory whole until it is applied; two of the longest values fit.
pub const STORAGE_BATCH_BYTES: usize = 2 * STORAGE_VALUE_BYTES + 1024 * 1024;

/// What an operation of a batch counts besides its key and value, so that a batch of empty values is bounded as well.
pub const STORAGE_OPERATION_BYTES: usize = 32;

/// Least memory of the engine for pages and for changes on their way to the disk, in bytes: an eighth of it is what a
/// checkpoint writes at a time, and should be some hundred nodes.
pub const CACHE_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// Most memory of the engine, in bytes: more than machines have, so that a slip of the keyboard is refused.
pub const CACHE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024 * 1024;

/// Least memory for the whole server that can be asked for, in bytes: some for the least query, a small cache, and what a
/// thousand clients take.
pub const MEMORY_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// Part of the memory of the machine or its container that the engine takes unless told otherwise: queries, the
/// system's own cache and other programs share the rest.
pub const CACHE_MACHINE_PART: u64 = 4;

/// How long a soft commit may wait for a sync, unless the operator says otherwise: what a crash may take.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Shorter than this, syncs for soft commits would follow each other without a pause.
pub const FLUSH_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Longer than this, a crash would take more than anybody who asks for soft durability means to risk.
pub const FLUSH_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// A log segment that has become so long is followed by another: a few of them cover what lies between two checkpoints,
/// and each is given back whole.
pub const LOG_SEGMENT_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes of commits after which a group of the log is not made longer: what waits longest for one sync. So many are
/// written without waiting for the flush interval.
pub const LOG_GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Log segments from which on a start writes a checkpoint before anything else: a server that is killed again and again
/// soon after its start must not pile them up.
pub const LOG_START_SEGMENTS: u64 = 8;

/// Room on the disk that is kept for the moment when it is full, in bytes: the groups of the log that were applied by
/// then, and the records of a checkpoint.
pub const DISK_RESERVE_BYTES: u64 = 8 * 1024 * 1024;

/// While the disk is full, what removes documents or drops tables may use one part of the reserve in so many: the log has to
/// hold it, and the next checkpoint what it has changed, before anything is free.
pub const FREEING_PART: u64 = 2;

/// How long such a commit waits for a checkpoint when those before it have used that part, in seconds: a few attempts.
pub const FREEING_WAIT_SECONDS: u64 = 4;

/// Room on the disk, in such reserves, that the building of an index leaves to commits and checkpoints: a build can wait
/// until there is more room, and should not be what refuses everybody else's writes.
pub const DISK_LEFT_RESERVES: u64 = 4;

/// Bytes of the disk below which the operator is told that it is nearly full: the log may come to 256 MB before writers
/// wait for a checkpoint, and the checkpoint writes as much again before it gives anything back; twice that leaves time
/// to look.
pub const DISK_NEARLY_FULL_BYTES: u64 = 1024 * 1024 * 1024;

/// The disk has enough room again, as the operator is told, when it has a part more than that: the one line would
/// otherwise follow the other with every checkpoint.
pub const DISK_ENOUGH_PART: u64 = 4;

/// How often it is looked at whether something is wrong with the disk or the data that nobody asked for: often enough for
/// whoever reads the log, and the look costs next to nothing.
pub const WATCH_TICK: Duration = Duration::from_secs(1);

/// Damaged places that are remembered for those who watch over the server: where there are more, the disk is to be
/// replaced whatever the others are, and each is asked for with every look at `current_issues`.
pub const DAMAGED_PLACES: usize = 64;

/// Bytes of commits that may wait to be written to the log before a writer has to wait.
pub const LOG_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// How long a commit may be in the log alone, in seconds: a server that has become idle writes a checkpoint then, gives
/// back log and space, and starts quickly.
pub const CHECKPOINT_SECONDS: u64 = 20;

/// Bytes of commits that are put together when a store is opened, before they are applied in the order of their keys.
pub const REPLAY_BYTES: usize = 32 * 1024 * 1024;

/// Room between the slots in use that is kept for slots to come, as a part of what is used: more than that is given back,
/// down to half of it.
pub const SPARE_PART: u64 = 4;

/// Room that is kept in any case, in bytes.
pub const SPARE_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Room of the data file that snapshots may keep from being used again, as a part of what is in use: beyond it the oldest
/// that can be taken anew are let go of. A checkpoint of everything needs as much room as there is in any case.
pub const PINNED_PART: u64 = 4;

/// Room that they may keep in any case, in bytes.
pub const PINNED_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// The same for memory of changes that are written and that only snapshots keep, as a part of the engine's memory: what a
/// checkpoint begins with. Writers have three such parts, and pages what is left.
pub const RETAINED_PART: usize = 8;

/// Ranges that are given back at a time, while no checkpoint can begin: some ten milliseconds.
pub const PUNCHED_RANGES: usize = 4_096;

/// How long what a checkpoint has freed and a snapshot held may stay before it is looked at again, in seconds.
pub const TIDY_SECONDS: u64 = 1;

/// Bytes that a checkpoint writes before it waits until they are safe: what the log's next sync may find before it in
/// the queue of the disk.
pub const CHECKPOINT_SYNC_BYTES: u64 = 4 * 1024 * 1024;

/// What a checkpoint may have twice in memory, as changes and as pages: writers get room again as often as it has written
/// so much of a tree.
pub const CHECKPOINT_PART_BYTES: usize = 4 * 1024 * 1024;

/// Entries of a batch of a scan from which on the leaves of this batch and the next are read ahead: by then the scan has
/// shown that it goes on.
pub const READ_AHEAD_ENTRIES: usize = 64;

/// Leaves that are read ahead at a time: about two full batches of a scan over documents of a kilobyte. With leaves of
/// 16 KB that is 2 MB of the system's memory.
pub const READ_AHEAD_LEAVES: usize = 128;

/// Bytes between two leaves that are read ahead with them: a device reads so many in the time that another request takes.
pub const READ_AHEAD_GAP_BYTES: u64 = 32 * 1024;

/// Nodes that are looked at while a checkpoint that has been written holds the lock of a tree's writers: less than a
/// millisecond.
pub const SETTLE_NODES: usize = 2_048;

/// Times the bytes after which a checkpoint begins that the log may have before writers wait for the checkpoint.
pub const LOG_WAIT_FACTOR: usize = 4;

/// A log segment of which so much is not needed any more, and no less than half, is followed by another after a
/// checkpoint, so that it can be removed.
pub const LOG_ROTATE_BYTES: u64 = 1024 * 1024;

/// Bytes after which a bulk load makes what it has written safe, so that not everything waits for the disk at its end.
pub const LOAD_SYNC_BYTES: usize = 32 * 1024 * 1024;

/// What the check of a directory lists of what is wrong in it; the rest is counted. More than anybody mends one by one.
pub const VERIFY_FINDINGS: usize = 100;

/// What the check of a directory may keep of it in memory, in bytes, besides the changes that its log makes.
pub const VERIFY_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// The log's buffer is given back when it has grown beyond this.
pub const LOG_BUFFER_KEPT_BYTES: usize = 1024 * 1024;

/// Entries of the first batch of a scan: a query that wants one row should not pay for more.
pub const SCAN_FIRST_ENTRIES: usize = 1;

/// Times the entries of a batch of a scan that the next one has: soon full, and never far beyond what is wanted.
pub const SCAN_GROWTH: usize = 4;

/// Entries of a full batch of a scan; batches grow from the first to this.
pub const SCAN_BATCH_ENTRIES: usize = 512;

/// Bytes after which a batch of a scan is full, whatever its number of entries: bounds the memory of a stream.
pub const SCAN_BATCH_BYTES: usize = 1024 * 1024;
