//! Every bound of the server, each with its reason, in one place; those of storage are in `storage.rs`.
//! Knows nothing but numbers: no module is imported here.

use std::time::Duration;

mod storage;

pub use storage::*;

// Queries

/// How long an array may become unless the query says otherwise (`array_limit`). RethinkDB's default.
pub const ARRAY_LIMIT: usize = 100_000;

/// Rows read at a time when a stream is read to its end inside the server: enough to forget the cost of a call, few
/// enough to stay in the processor's cache.
pub const TERMINAL_BATCH_ROWS: usize = 1_024;

/// Rows a transformation reads first; further portions double. What rows become may be far larger than they are, so a
/// batch that is bounded in bytes begins with few.
pub const TRANSFORM_FIRST_ROWS: usize = 32;

/// Part of the memory of the machine or its container that one query may take, where that is more than
/// [`QUERY_BYTES`]: a value that doubles at each step may stand there in three sizes when it is looked at, and the cache
/// is a part of its own.
pub const QUERY_MACHINE_PART: u64 = 8;

/// What one query may take where a quarter of the machine allows it, in bytes: a sort as large as [`SORT_BYTES`] allows
/// takes little more.
pub const QUERY_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Least memory for a query, in bytes: one large document, as it came and as it is stored.
pub const QUERY_BYTES_MIN: u64 = 2 * STORAGE_VALUE_BYTES as u64;

/// Most bytes that a query has taken since it was last looked at, after which it is looked at again: the look asks the
/// system, which takes some microseconds.
pub const QUERY_LOOK_BYTES: u64 = 32 * 1024 * 1024;

/// Where there is less memory a query is looked at after so small a part of it, so that many that grow at once are seen in
/// time.
pub const QUERY_LOOK_PART: u64 = 1_024;

/// No query is looked at before it has taken so much more.
pub const QUERY_LOOK_BYTES_MIN: u64 = 1024 * 1024;

/// What a query has taken is looked at once in so many terms: as good as each time, since a term that makes much at once
/// asks before it does.
pub const MEMORY_CHECK_INTERVAL: u32 = 16;

/// A query that has taken much is looked at once in so many terms in any case: what it took may come to be used only
/// later, or may have been the cache's.
pub const MEMORY_LOOK_INTERVAL: u32 = 1_024;

/// A term asks before it takes so many bytes at once.
pub const QUERY_RESERVE_BYTES: usize = 16 * 1024 * 1024;

/// A stored value that is longer, in bytes, has room before it is read from the disk. Of shorter ones the threads that there
/// are hold less than a part of the memory that matters, and their readers pay for no count.
pub const LONG_READ_BYTES: u64 = 1024 * 1024;

/// Part of the server's memory that long values may take as they were read, together: where the least is to be had, one
/// of the longest that there are. What queries make of them counts as theirs.
pub const LONG_READS_MACHINE_PART: u64 = 4;

/// How long a query waits for room to read a long value. Reading one takes some tens of milliseconds, so that those
/// before it come to their end; who waits in vain fails.
pub const LONG_READ_WAIT: Duration = Duration::from_secs(2);

/// How often who waits for room looks whether it was stopped.
pub const LONG_READ_LOOK: Duration = Duration::from_millis(20);

/// Bytes of JSON that are made of a value at most. A value may hold one part many times over, and so be far longer as
/// text than it is in memory. Longer answers are refused by every driver but one.
pub const JSON_BYTES: usize = 1024 * 1024 * 1024;

/// Rows that are sorted in memory may be so many bytes as JSON: half a gigabyte of them takes a few gigabytes.
pub const SORT_BYTES: usize = 512 * 1024 * 1024;

/// A batch of rows ends once it is about this large as JSON. RethinkDB's default.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Rows of a table that nothing orders come in the order in which RethinkDB gives them, if there are no more than this:
/// they are read before the first of them is given. That is far below what a page of a client asks for, and costs less
/// than a tenth of a millisecond.
pub const HASH_ORDER_ROWS: u64 = 256;

/// The same for their bytes as JSON.
pub const HASH_ORDER_BYTES: usize = 256 * 1024;

/// The deadline is looked at once in so many terms: the clock costs more than the cancellation flag.
pub const DEADLINE_CHECK_INTERVAL: u32 = 256;

/// A query that is evaluated where it was read has this many checks for interruption, some of them for every term:
/// about a millisecond. Then it starts over on the pool: until it ends, that network worker serves nobody else.
pub const INLINE_CHECKS: u32 = 4_096;

/// Steps of walks through values (comparing, printing, merging) between two looks at whether the query may go on: some
/// hundred microseconds.
pub const WALK_STEPS: u32 = 16 * 1024;

/// Pairs of shared parts of values that one comparison or merge remembers: some tens of megabytes. What has more of them is
/// walked part by part, and can be stopped.
pub const SHARED_PAIRS: usize = 1 << 20;

/// Parts of the paths that one `pluck`, `without` or `hasFields` is given: some tens of megabytes, and a fraction of a second
/// for each row. RethinkDB has no bound but that of the value.
pub const PATH_PARTS: usize = 1_000_000;

/// Looks during walks that a query may see where it was read, before it starts over on the pool: with [`WALK_STEPS`] a
/// millisecond.
pub const INLINE_WALK_LOOKS: u32 = 4;

/// An answer that is longer than that, in bytes of JSON, is written on the pool.
pub const INLINE_ANSWER_BYTES: usize = 1024 * 1024;

/// Bytes of documents, as they were or as they shall be, that a write may replace where it was read. Copying them takes about
/// a millisecond. What is written cannot start over, so that this is known before.
pub const INLINE_WRITE_BYTES: usize = 1024 * 1024;

/// Bytes that a query may read inline from the memory of the operating system, in pages that the server's own cache does
/// not have. Copying and summing them takes about a third of a millisecond. Then the query starts over on the pool.
pub const INLINE_READ_BYTES: usize = 1024 * 1024;

/// Most rounds of hashing that a user's password may ask for: some tenths of a second, which every login then takes on both sides.
/// RethinkDB has no bound but that of the number's form.
pub const PASSWORD_ITERATIONS_MAX: u32 = 1_000_000;

/// The text of a query in `rethinkdb.jobs` is cut there: an insert of many megabytes is known by its beginning.
pub const JOB_QUERY_BYTES: usize = 16 * 1024;

/// The terms of a query in the log of slow queries are cut there: a line that a person can read.
pub const SLOW_QUERY_BYTES: usize = 2 * 1024;

/// Longest time that an option of the server can name: more than a year is a slip of the keyboard.
pub const OPTION_TIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How often rates are computed: what "in a second" means in `rethinkdb.stats`, as in RethinkDB.
pub const METER_TICK: Duration = Duration::from_secs(1);

/// Lines of the log that the server remembers for `rethinkdb.logs`: as many as RethinkDB shows of a server.
pub const LOG_LINES: usize = 1_000;

/// What clients can cause as often as they like has a line of the log no more often than that: thousands of lines a second
/// would fill the disk, and leave no other line among those that are remembered.
pub const LOG_REPEAT_INTERVAL: Duration = Duration::from_secs(5);

/// A remembered line of the log is cut there: a megabyte of text in an error must not be kept a thousand times.
pub const LOG_LINE_BYTES: usize = 4 * 1024;

/// A profile keeps at most so many tasks: one that maps a million rows must not hold a million tasks a term.
pub const PROFILE_TASKS_MAX: usize = 10_000;

/// Rows of one response unless the query says otherwise.
pub const BATCH_ROWS: usize = 500;

/// Rows of one response whatever their size, unless the query says otherwise. RethinkDB's default.
pub const BATCH_ROWS_MIN: usize = 8;

/// A thread that waits for a changefeed looks so often whether its query was stopped.
pub const WAIT_CHECK: Duration = Duration::from_millis(50);

/// A response leaves after so long once it has a row, unless the query says otherwise. RethinkDB's default.
pub const BATCH_TIME: Duration = Duration::from_millis(500);

/// The first response of a stream carries this much less than a full one, so that it leaves soon. RethinkDB's default.
pub const FIRST_BATCH_SCALEDOWN: usize = 4;

// Documents and keys

/// Longest primary key, in bytes of its value as RethinkDB counts them (one more with the letter of its type).
pub const PRIMARY_KEY_BYTES: usize = 127;

/// Bytes of a primary key that are looked at before it is called too long: RethinkDB's largest key.
pub const PRIMARY_KEY_EXAMINED_BYTES: usize = 250;

/// Bytes of a value that an entry of a secondary index keeps. Longer values are told apart by their documents. With the
/// primary key behind them they stay well below [`STORAGE_KEY_BYTES`].
pub const SECONDARY_KEY_BYTES: usize = 1024;

/// Documents whose values in an index are longer than that and begin alike, which a scan sorts in memory.
pub const SECONDARY_CUT_DOCUMENTS: usize = 100_000;

/// How far `getNearest` looks unless it is told otherwise, in meters: RethinkDB's distance.
pub const NEAREST_METERS: f64 = 100_000.0;

/// Documents that `getNearest` finds at most unless it is told otherwise: RethinkDB's number.
pub const NEAREST_RESULTS: usize = 100;

/// Indexes that are built at the same time. Others wait.
pub const INDEX_BUILDS: usize = 2;

/// Threads that read the documents of a table whose index is built, each a part of them...
pub const INDEX_BUILD_THREADS: usize = 2;

/// ...of at least so many.
pub const INDEX_BUILD_THREAD_DOCUMENTS: u64 = 50_000;

/// How long the building of an index reads from one commit point, which keeps for so long what is overwritten meanwhile.
pub const INDEX_BUILD_PORTION: Duration = Duration::from_millis(250);

/// Entries after which the loading of an index looks whether it is to go on.
pub const INDEX_BUILD_LOOK: u64 = 64;

/// Memory in which the building of an index sorts its entries, in bytes: this part of the cache...
pub const INDEX_SORT_CACHE_PART: usize = 24;

/// ...and at least so much...
pub const INDEX_SORT_BYTES_MIN: usize = 1024 * 1024;

/// ...and at most so much.
pub const INDEX_SORT_BYTES: usize = 64 * 1024 * 1024;

/// What is written to and read from a file for sorting at a time, in bytes: less when there is little memory for sorting...
pub const SORT_BUFFER_BYTES: usize = 128 * 1024;

/// ...but at least so much. Any key of a tree fits.
pub const SORT_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Sorted runs of one level that become one run of the next: as many are read at the same time.
pub const SORT_RUNS: usize = 32;

/// Entries of an index, in bytes, up to which they are put into the tree by one batch: more are loaded.
pub const INDEX_BUILD_BATCH_BYTES: usize = 256 * 1024;

/// How long after a failure an index is built again; twice as long after each further one...
pub const INDEX_BUILD_AGAIN: Duration = Duration::from_secs(1);

/// ...up to so long.
pub const INDEX_BUILD_AGAIN_MAX: Duration = Duration::from_secs(300);

/// How often `indexWait` looks whether the indexes are complete.
pub const INDEX_WAIT_POLL: Duration = Duration::from_millis(5);

/// Entries that the building of an index carries over under the locks of their documents at a time: so few that nobody
/// feels it, and that a batch of them is small however long they are.
pub const INDEX_BUILD_DOCUMENTS: usize = 256;

/// Work that an index function may do for one document, in looks of [`WALK_STEPS`] steps: a million steps, or the terms of
/// a quarter of them, are some tenth of a second. A document for which it needs more has no value in the index, as one
/// for which the function fails: otherwise one function without an end would stop every writer of its table.
pub const INDEX_FUNCTION_LOOKS: u32 = 64;

/// Steps that evaluating a term counts for.
pub const TERM_STEPS: usize = 4;

/// How long an array of a stored document may be, whatever the query's `array_limit` is. RethinkDB's bound.
pub const STORED_ARRAY_LEN: usize = 100_000;

/// Levels of arrays and objects in a stored document. More than anyone writes by hand, few enough that code which
/// follows a value recursively stays well within a thread's stack.
pub const DOCUMENT_DEPTH: usize = 2_000;

// Values

/// Levels of arrays and objects in a value that a query builds step by step, in `fold` and `reduce`: more than the
/// deepest query can write down, and a fraction of what the stack holds when such a value is written or dropped.
pub const CARRIED_DEPTH: usize = 5_000;

/// Parts of such a value, each counted as often as it occurs: more than fit into the memory of a query, unless one part
/// stands in many places. Looking at so many takes a fraction of a second.
pub const CARRIED_PARTS: usize = 64 * 1024 * 1024;

/// Steps between two looks at how deep a carried value is. A step can add as many levels as a query has.
pub const CARRIED_STEPS: u32 = 16;

// Writes

/// Documents of a large write that share one commit and hold their locks together: enough to make the cost of a commit
/// small, few enough that another writer does not wait long.
pub const WRITE_COMMIT_DOCUMENTS: usize = 256;

/// Bytes of new documents after which a large write is committed and goes on with another commit.
pub const WRITE_COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// How often a write that another writer's commit got in the way of is tried again before it is given up. Only engines
/// with writers elsewhere ever refuse one.
pub const WRITE_ATTEMPTS: usize = 20;

/// How often a query that waits for the lock of a document looks whether it was stopped.
pub const LOCK_WAIT_LOOK: Duration = Duration::from_millis(100);

/// Locks of a table over which its keys are spread. Two writers meet by chance once in so many pairs; each lock takes
/// sixteen bytes of every open table.
pub const KEY_LOCKS: usize = 256;

// Connections and queries

/// Client connections at once, over every transport. One costs a few kilobytes while idle; beyond this a client is told
/// so and closed, instead of the server running out of memory or files.
pub const CONNECTIONS: usize = 20_000;

/// Open files that no connection takes, where the system's limit allows that: storage has its data, its log and a
/// checkpoint's files in them.
pub const OPEN_FILES_RESERVE: usize = 256;

/// A client that has not finished its handshake by then is closed: it holds a place among [`CONNECTIONS`] unnamed.
pub const HANDSHAKE_SECONDS: u64 = 20;

/// Clients without a place that are told so at a time in the form that they read, for which the server waits for their first
/// bytes; those beyond are told at once, in the form of old drivers.
pub const TURNED_AWAY_AT_ONCE: usize = 64;

/// Passwords of drivers that are hashed at a time, for clients that send theirs as it is (V0_4): each hash is slow by
/// design, and takes a thread.
pub const HANDSHAKE_PASSWORD_CHECKS: usize = 4;

/// Queries of one connection that are being evaluated, or wait for it, and requests to go on or to stop that wait for one of
/// those. Further frames are not read until one ends. RethinkDB's bound.
pub const QUERIES_PER_CONNECTION: usize = 1_024;

/// A longer query is read and compiled on the pool, over every transport: its time grows with its length, a millisecond for
/// about so many bytes.
pub const INLINE_BODY_BYTES: usize = 64 * 1024;

/// Open streams of one connection, feeds included. One more is an error of the query that opens it.
pub const CURSORS_PER_CONNECTION: usize = 131_072;

/// Queries and open streams of a connection that has ended which are dropped on the thread of the network that served it.
/// More of them are dropped elsewhere: a hundred thousand feeds take a second.
pub const SLOTS_DROPPED_AT_ONCE: usize = 64;

/// Evaluations of one connection that run beside each other on the pool, so that one client leaves room for others, and
/// one that does not read its answers makes the server hold no more than these.
pub const POOL_QUERIES_PER_CONNECTION: usize = 16;

/// A connection with so many queries on the pool gets another only while half of what its user may have at its address is
/// left; one with fewer, but some, only while a quarter is. So 42 threads are kept for connections of a user that have none.
pub const POOL_FEW_QUERIES: usize = 4;

/// A user may have so many times the threads of the pool that are free. One that has all to itself stops at 224 of 256,
/// two at 119 each, ten at 25: however many connections a user opens, there are threads for the next user, and the more
/// users want some, the fewer each of them gets.
pub const POOL_USER_TIMES_FREE: usize = 7;

/// An address may have so many times the threads that its user may have besides. One that has all to itself stops at 168 of
/// 224: where all clients are one user, those of one computer leave threads to those of others.
pub const POOL_ADDRESS_TIMES_FREE: usize = 3;

/// Evaluations beside each other on the pool, of all connections. They may wait for pages, for indexes, for scripts and for
/// other servers, or go on for minutes, and when none is left everybody else waits for them, down to who wants to look at
/// `rethinkdb.jobs` and end one. So there are far more than processors. Each has a thread, which is made when it is needed.
pub const POOL_THREADS: usize = 256;

/// Evaluations of the pool that run at a time, for each processor. More would share the processors no better, and take
/// them away from the threads of the network: what others wait beside a hundred endless queries is in
/// `docs/robustness.md`.
pub const TURNS_PER_PROCESSOR: usize = 1;

/// How long an evaluation runs until it hands over to one that waits for its turn. On two processors a new query waits half
/// of that while a hundred others go on for long. A change of threads costs a thousandth of it.
pub const TURN_QUANTUM: Duration = Duration::from_millis(10);

/// Looks at whether it may go on that an evaluation does before it needs a turn: with [`WALK_STEPS`] a millisecond, with
/// [`DEADLINE_CHECK_INTERVAL`] less. Those that are over by then never wait for each other. A hundred that are not, and come
/// at once, take some tens of milliseconds of two processors until all of them wait.
pub const TURN_FREE_LOOKS: u32 = 4;

/// How long it runs at first: most queries are over by then. When a hundred come at once that are not, those that are new
/// after them wait for their first turns only.
pub const TURN_FIRST: Duration = Duration::from_millis(2);

/// Turns that go in a row to the evaluations that have run least, while others wait: these get a quarter of the turns at
/// least.
pub const TURNS_IN_A_ROW: usize = 3;

/// An evaluation that has not looked for so long after others began to wait has lost its turn: it waits for something, on
/// a way that does not tell of it. Far longer than any stretch of work between two looks.
pub const TURN_LOST: Duration = Duration::from_millis(100);

/// How much the building of an index and a script give way, as `nice` counts: a ninth of a turn on the processors for a
/// whole one of another thread.
pub const BACKGROUND_NICENESS: i32 = 10;

/// Threads of the runtime beside those of the network: for those that take over what a thread serves which reads a long
/// query, for name lookups and for passwords. They are made when needed.
pub const OTHER_BLOCKING_THREADS: usize = 288;

/// Threads beside those for queries of administration, which have them when the pool is taken. Each of these queries takes
/// milliseconds.
pub const POOL_LANE_THREADS: usize = 4;

/// Looks at whether it may go on that a query of administration does in the lane before it starts over on the pool: more
/// than reading a thousand rows takes, and a tenth of a second in all.
pub const LANE_CHECKS: u32 = 512 * 1024;

/// The same for looks during walks, of [`WALK_STEPS`] steps each.
pub const LANE_WALK_LOOKS: u32 = 512;

/// Documents that one of them may insert: each is a commit of its own, and the hash of a password.
pub const LANE_DOCUMENTS: usize = 16;

/// Queries of administration of one connection that are evaluated beside each other.
pub const POOL_LANE_QUERIES_PER_CONNECTION: usize = 1;

/// Stack of every thread that evaluates. Evaluation recurses with the query, which may be nested as deep as the
/// protocol's bound; only what is used costs memory.
pub const THREAD_STACK_BYTES: usize = 64 * 1024 * 1024;

/// How long a network thread serves one client that always has more to say before others have their turn: with dozens of
/// such clients a thread comes round within some ten milliseconds.
pub const CONNECTION_TURN: Duration = Duration::from_micros(500);

/// Frames and rounds after each of which the clock is looked at: one query takes a microsecond at least, the clock a fortieth
/// of that.
pub const CONNECTION_TURN_STEPS: u32 = 4;

/// Room made for input before each read: a screenful of small queries, and few reads for a large one.
pub const READ_BYTES: usize = 16 * 1024;

/// Input that is kept while no frame is taken from it, so that the end of the connection is seen.
pub const HELD_INPUT_BYTES: usize = 64 * 1024;

/// A frame longer than this has a share of what all large frames may take while it arrives; shorter ones always may. The
/// connections that a server has by default do not take much with such ones.
pub const LARGE_FRAME_BYTES: usize = HELD_INPUT_BYTES;

/// Part of the server's memory that large frames may take together until their queries have been read. One of the longest
/// fits into it where the server has half a gigabyte; a longer one than all may be has to be alone.
pub const LARGE_FRAMES_MACHINE_PART: u64 = 4;

/// Part of that which the large frames of one connection may take together: a quarter of what is left to it and to those who
/// have none. One alone may take all.
pub const LARGE_FRAMES_CONNECTION_PART: u64 = 4;

/// The same for a user at one address: a half.
pub const LARGE_FRAMES_ADDRESS_PART: u64 = 2;

/// While others wait, a large frame of which less than [`LARGE_FRAME_PACE_BYTES`] arrive for so long costs its client the
/// connection: a lost packet is sent again within that time.
pub const LARGE_FRAME_PATIENCE: Duration = Duration::from_secs(1);

/// See [`LARGE_FRAME_PATIENCE`]: half a megabit a second.
pub const LARGE_FRAME_PACE_BYTES: usize = 64 * 1024;

/// While others wait, a large frame costs its client the connection too when it falls behind the pace at which all of it
/// is there in so long: the more it takes, the faster it has to come. The longest needs 35 megabits a second then, one of
/// two megabytes half a megabit.
pub const LARGE_FRAME_TIME: Duration = Duration::from_secs(30);

/// A large frame that has waited for so long is passed by no smaller ones any more. One that is whole, and that nobody has
/// begun to read for so long, makes room for those who wait: its connection has too much else to do.
pub const LARGE_FRAME_WAIT: Duration = Duration::from_secs(5);

/// What an entry of a query takes in any case, with its place among those that run: each query that waits and each open
/// stream is charged for it, beside its text, its tree, and what it keeps. A connection may have a hundred thousand.
pub const HELD_ENTRY_BYTES: usize = 1024;

/// What a connection's queries hold is made known to all in steps of this: for less the lock is not worth it. From half of
/// what all may hold on each change is made known, so that what nobody knows is never more than that half.
pub const HELD_CHUNK_BYTES: u64 = 64 * 1024;

/// The process may still have what was given up to make room for so long: the allocator keeps what is free for a second.
pub const HELD_LEAVES: Duration = Duration::from_secs(1);

/// Variables of functions around them that the functions of one query may use, each counted for each function that it is
/// handed on by: finding them takes some milliseconds, and a query of a person or a driver has some hundreds.
pub const QUERY_CAPTURES: usize = 64 * 1024;

/// About what one term of a parse tree takes, with its place in the query: two nodes' worth, since each is shared and
/// rounded up by the allocator.
pub const TERM_BYTES: usize = 192;

/// A parse tree that takes more is dropped on another thread than that of its connection: half a millisecond.
pub const PROGRAM_DROPPED_AT_ONCE: usize = 1024 * 1024;

/// Part of the server's memory that texts and trees of queries and what open streams keep may take together. Beyond it who
/// holds most loses the largest. A query that runs may take a quarter in small servers, and its stream may keep that.
pub const HELD_MACHINE_PART: u64 = 4;

/// Answers that a client has not read, in bytes. Beyond this nothing more is evaluated for it until it reads.
pub const UNSENT_BYTES: usize = 1024 * 1024;

/// Bytes of an answer that the system takes before the client's side has room for them. Without this bound a client that
/// reads nothing gets megabytes of them, which nobody counts, copied at once on a thread that others wait for; with more
/// than the network carries in the time that a thread needs to add to them, nothing is gained.
pub const NOT_SENT_BYTES: u32 = 128 * 1024;

/// Part of the server's memory that the answers which clients have not read may take together, over every transport.
/// Beyond it those whose clients take nothing lose their connection; a client that reads may have a longer one.
pub const UNREAD_MACHINE_PART: u64 = 16;

/// How long a client may take nothing of an answer while all unread answers are too much, but less than twice that: far
/// longer than a network of any use pauses...
pub const UNREAD_PATIENCE: Duration = Duration::from_secs(5);

/// ...while they are less than four times as much: a packet that is lost is sent again within that time...
pub const UNREAD_PATIENCE_SHORT: Duration = Duration::from_secs(1);

/// ...and while they are more. Two processors write some hundred megabytes of answers a second, so that no more than some
/// tens of them come in that time.
pub const UNREAD_PATIENCE_MIN: Duration = Duration::from_millis(100);

/// How often that is looked at while there is too much.
pub const UNREAD_LOOK: Duration = Duration::from_millis(25);

/// Output buffers that grew beyond this are given back once they are empty.
pub const KEPT_OUTPUT_BYTES: usize = 64 * 1024;

/// Input read and thrown away after an error that ends the connection, in bytes, so that the client gets to read it.
pub const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How long such a connection stays open for it.
pub const LINGER_SECONDS: u64 = 2;

/// An empty batch of a feed goes to a V0_3 client after this time: it runs one query at a time, so that a wait would
/// keep it from asking for anything else.
pub const EMPTY_BATCH_SECONDS: u64 = 1;

/// A stopping server lets queries run for so long before it interrupts them: most are over by then, and those that are not
/// could take any time.
pub const STOP_GRACE: Duration = Duration::from_millis(500);

/// After that, connections have this long to send what is left.
pub const STOP_FLUSH: Duration = Duration::from_secs(1);

/// Clients over HTTP have less: who does not read what it asked for keeps no server.
pub const STOP_FLUSH_HTTP: Duration = Duration::from_millis(250);

/// The metrics are made anew when they are so old: nobody scrapes them as often to see more, and whoever asks all the time gets
/// what there is.
pub const METRICS_AGE: Duration = Duration::from_millis(100);

// Scripts

/// How long a script, or one call of its function, may take unless it says otherwise. RethinkDB's default.
pub const SCRIPT_TIMEOUT_MILLISECONDS: u64 = 5_000;

/// How long it may take whatever it says: it has one of [`SCRIPT_HELPERS`] meanwhile, for which others wait. Longer times are
/// taken for this one, as RethinkDB takes those that its clock cannot tell for the longest that it can.
pub const SCRIPT_TIMEOUT_MAX_MILLISECONDS: u64 = 120_000;

/// Memory of the scripts of one query, in bytes: a few hundred thousand small objects. With [`SCRIPT_HELPERS`] it
/// bounds what all scripts of a server hold.
pub const SCRIPT_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// Stack of a script, in bytes: some thousand calls deep. The engine's own default.
pub const SCRIPT_STACK_BYTES: usize = 1024 * 1024;

/// Stack of a script's thread: that of the script, and of reading a value of [`SCRIPT_VALUE_DEPTH`] levels above it.
pub const SCRIPT_THREAD_STACK_BYTES: usize = 4 * 1024 * 1024;

/// Script helpers that run at once, a process each. A query on the blocking pool waits for one.
pub const SCRIPT_HELPERS: usize = 32;

/// A connection may have so many times the helpers that stay free: half, while nobody else wants any.
pub const SCRIPT_CONNECTION_TIMES_FREE: usize = 1;

/// The same for a user: seven eighths.
pub const SCRIPT_USER_TIMES_FREE: usize = 7;

/// Helpers that are kept for the next query, each a few megabytes.
pub const SCRIPT_HELPERS_KEPT: usize = 2;

/// Addresses that a helper may use, in bytes: the engine with [`SCRIPT_MEMORY_BYTES`], a job and a result as they come and
/// go, the binary, and what allocators and threads reserve without using it. What the engine's own bound does not hold
/// ends here.
pub const SCRIPT_PROCESS_BYTES: u64 = 1024 * 1024 * 1024;

/// Longest frame between the server and a helper, in bytes: a result of [`SCRIPT_RESULT_BYTES`], with lengths.
pub const SCRIPT_FRAME_BYTES: usize = 4 * SCRIPT_RESULT_BYTES;

/// Functions of scripts that a query keeps at hand. RethinkDB's number.
pub const SCRIPT_FUNCTIONS: usize = 100;

/// Levels of arrays and objects of a value that goes into or comes out of a script. RethinkDB's bound on results.
pub const SCRIPT_VALUE_DEPTH: usize = 500;

/// Size of a script's result in bytes. A result may refer to one part of it many times, so the engine's memory limit
/// does not bound it.
pub const SCRIPT_RESULT_BYTES: usize = 64 * 1024 * 1024;

/// Values of a script's result between two looks at the clock.
pub const SCRIPT_CHECK_VALUES: usize = 256;

/// How long a query waits for its script after the script should have ended, before it goes on without it.
pub const SCRIPT_GRACE: Duration = Duration::from_millis(100);

// Feeds

/// Changes that may wait for one feed unless it asks otherwise (`changefeed_queue_size`). RethinkDB's default.
pub const FEED_QUEUE_CHANGES: usize = 100_000;

/// Bytes of changes that may wait for one feed, where there is memory enough: as long as the longest document. RethinkDB
/// counts changes alone.
pub const FEED_QUEUE_BYTES: usize = STORAGE_VALUE_BYTES;

/// Part of the server's memory that all changes that wait for feeds may take together. What one change takes is counted
/// once, for all feeds that it waits for.
pub const FEEDS_MACHINE_PART: u64 = 16;

/// Part of that which one feed may have.
pub const FEED_QUEUE_PART: u64 = 4;

/// How often system tables that nothing tells of changes are looked at while somebody listens to them. RethinkDB's
/// interval.
pub const SYSTEM_FEED_TICK: Duration = Duration::from_secs(1);

/// After a look at a system table that took some time, the next one waits so many times as long: whatever is changed
/// how often, feeds take no more than a twentieth of a core for it.
pub const SYSTEM_FEED_REST: u32 = 19;

/// How long a feed of a system table waits after a look that could not be made, as in RethinkDB.
pub const SYSTEM_FEED_RETRY: Duration = Duration::from_secs(1);

/// Shards of one table, as reported. RethinkDB's limit.
pub const TABLE_SHARDS_MAX: u32 = 64;

/// Streams of one QUIC client at once; each is a connection of its own. A client opens further ones as others end.
pub const QUIC_STREAMS: u32 = 256;

/// Streams of a QUIC client of which no stream has logged in yet.
pub const QUIC_STREAMS_BEFORE_LOGIN: u32 = 4;

/// What such a client may send before it is read, on all of its streams, and what is kept of what was sent to it, in bytes:
/// far more than a login.
pub const QUIC_WINDOW_BEFORE_LOGIN_BYTES: u32 = 32 * 1024;

/// What a QUIC client may send on one stream before it is read, in bytes.
pub const QUIC_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same for all streams of a client together.
pub const QUIC_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// What is kept of what was sent to a QUIC client until it says that it came, in bytes: nobody counts that among the answers
/// that wait for clients, so that it is no more than a network carries in the time of a round trip, five megabytes a second
/// over a tenth of a second.
pub const QUIC_SEND_WINDOW_BYTES: u32 = 512 * 1024;

// HTTP

/// How long an HTTP client may take nothing of its answer before its place goes to others: a window of a client that reads
/// ten kilobytes a second opens in steps of 64 kilobytes at most.
pub const HTTP_STALL_TIME: Duration = Duration::from_secs(10);

/// Bytes of an answer that count as progress: less would let a client hold its place by reading next to nothing.
pub const HTTP_PACE_BYTES: usize = 16 * 1024;

/// What the system keeps of an answer until the client has taken it, in bytes: how closely its pace is seen.
pub const HTTP_SEND_BYTES: usize = 256 * 1024;

/// Connections of HTTP clients at once; for a further one, the one that has been silent longest is closed.
pub const HTTP_CONNECTIONS: usize = 1_024;

/// One in so many of them is kept for health checks and metrics, which are answered at once.
pub const HTTP_RESERVED_PART: usize = 16;

/// Queries that are evaluated over HTTP at a time, or wait for it: as many as the pool has threads, and no more than half of
/// the connections.
pub const HTTP_QUERIES: usize = 256;

/// A user at one address may have so many times the HTTP queries that are free, and an address so many times the password
/// checks: seven eighths, while nobody else wants any.
pub const HTTP_TIMES_FREE: usize = 7;

/// Bytes of the body of an HTTP request.
pub const HTTP_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of the bodies of all HTTP requests that arrive, or whose queries have not been compiled. Those of one address may take
/// as much as they leave.
pub const HTTP_BODIES_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of the headers of an HTTP request.
pub const HTTP_HEADERS_BYTES: usize = 64 * 1024;

/// How long the headers of an HTTP request may take to arrive, the wait for the request included.
pub const HTTP_HEADERS_TIME: Duration = Duration::from_secs(10);

/// How long the body of an HTTP request may take to arrive.
pub const HTTP_BODY_TIME: Duration = Duration::from_secs(20);

/// Rows of the answer to one query over HTTP: it is written whole before it is sent.
pub const HTTP_ROWS: usize = 100_000;

/// Bytes of that answer after which no more rows are read.
pub const HTTP_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How long a query over HTTP may take.
pub const HTTP_QUERY_SECONDS: u64 = 60;

/// Passwords being checked at a time: each check is slow by design.
pub const HTTP_PASSWORD_CHECKS: usize = 4;

/// Passwords that are checked or wait for it: each has a connection that nobody else can have, and even those of most rounds
/// have their turn within [`HTTP_PASSWORD_TIME`].
pub const HTTP_PASSWORDS_WAITING: usize = 64;

/// How long a request waits at most until its password is checked.
pub const HTTP_PASSWORD_TIME: Duration = Duration::from_secs(5);

/// Longest regular expression, in bytes. RE2 compiles to at most 87,000 instructions, of which each character takes one, and
/// refuses longer ones; compiling cannot be stopped, so that those are not begun.
pub const REGEX_PATTERN_BYTES: usize = 256 * 1024;

/// Classes of Unicode in a regular expression (`\\pL`): reading one takes a tenth of a millisecond, and cannot be stopped. RE2
/// makes some hundred instructions of one and allows 87,000.
pub const REGEX_CLASSES: usize = 1_000;

/// Bytes that an expression may compile to: about what RE2 allows, and a tenth of a second.
pub const REGEX_BYTES: usize = 6 * 1024 * 1024;

/// Bytes of an expression that is compiled where the query was read, and bytes of its pattern: a millisecond or two.
pub const REGEX_SMALL_BYTES: usize = 64 * 1024;
/// See [`REGEX_SMALL_BYTES`].
pub const REGEX_SMALL_PATTERN_BYTES: usize = 256;

/// Bytes that searching with an expression may take beside it, kept with it.
pub const REGEX_SEARCH_BYTES: usize = 1024 * 1024;

/// Bytes of all compiled expressions that are kept: those of some dozens of patterns that queries use.
pub const REGEX_CACHE_BYTES: u64 = 48 * 1024 * 1024;

// Requests to other servers

/// How long a request may take unless it says otherwise, retries and redirects included. RethinkDB's default.
pub const FETCH_TIMEOUT_MILLISECONDS: u64 = 30_000;

/// How long a request may take at most: 30 days. RethinkDB's bound.
pub const FETCH_TIMEOUT_MAX_MILLISECONDS: u64 = 2_592_000_000;

/// How often a request is sent while the server is troubled. RethinkDB's default.
pub const FETCH_ATTEMPTS: u64 = 5;

/// How often it is sent at most, whatever the request says.
pub const FETCH_ATTEMPTS_MAX: u64 = 100;

/// Pause before a request is sent again; each further one is twice as long.
pub const FETCH_PAUSE: Duration = Duration::from_millis(20);

/// Longest of these pauses.
pub const FETCH_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How many redirects are followed. RethinkDB's default.
pub const FETCH_REDIRECTS: u32 = 1;

/// Size of a response's body in bytes, out of its encoding: as long as a document may be.
pub const FETCH_BODY_BYTES: usize = STORAGE_VALUE_BYTES;

/// Cookies that a query keeps.
pub const FETCH_COOKIES: usize = 50;

/// Length of a line that sets a cookie: what browsers allow.
pub const FETCH_COOKIE_BYTES: usize = 4_096;

/// Threads for name lookups, which may hang for as long as the system lets them.
pub const FETCH_LOOKUP_THREADS: usize = 8;

/// Unused connections kept to one server: pages come one after the other.
pub const FETCH_IDLE_CONNECTIONS: usize = 2;

/// How long an unused connection is kept.
pub const FETCH_IDLE: Duration = Duration::from_secs(10);

/// How often a query that waits for another server looks whether it was cancelled.
pub const FETCH_CANCEL_CHECK: Duration = Duration::from_millis(50);
