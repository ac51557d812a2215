//! How every target runs its check: what it returns as wrong ends the run, and so does taking more memory than any input
//! of that length should.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};

use cap::Cap;
use tikv_jemallocator::Jemalloc;

/// The allocator of the server, which tells queries what they have taken.
#[global_allocator]
static ALLOCATOR: Cap<Jemalloc> = Cap::new(Jemalloc, usize::MAX);

/// What a check may take besides, in bytes: the caches and files of a small store.
const BYTES: usize = 64 << 20;
/// What it may take for each byte of input: a key of an inner node is given there by the end of it, a child of 30 bytes,
/// and takes two kilobytes in memory.
const FACTOR: usize = 256;
/// What a server may take besides, in bytes: a query that is ended when it has taken 32 MB, what it takes between two looks,
/// and its answer.
const SERVER_BYTES: usize = 256 << 20;
/// Stack of the thread that evaluates. Queries may be nested deeply, and functions that are watched take more of it.
const STACK_BYTES: usize = 1 << 30;

type Check = fn(&[u8]) -> Result<(), String>;

/// Runs a check, within bounds.
pub fn run(check: Check, data: &[u8]) {
    within(BYTES, check, data);
}

/// Runs a check that asks a server, on a thread like those of a server: always the same, which keeps its server.
pub fn serve(check: Check, data: &[u8]) {
    static THREAD: OnceLock<Mutex<(SyncSender<(Check, Vec<u8>)>, Receiver<()>)>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (inputs, given) = sync_channel::<(Check, Vec<u8>)>(1);
        let (tell, done) = sync_channel(1);
        let work = move || {
            for (check, data) in given {
                within(SERVER_BYTES, check, &data);
                tell.send(()).expect("the target waits");
            }
        };
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
        thread.expect("there is a thread");
        Mutex::new((inputs, done))
    });
    let thread = thread.lock().expect("a check that fails ends the process");
    thread.0.send((check, data.to_vec())).expect("the thread waits");
    thread.1.recv().expect("a check that fails ends the process");
}

fn within(bytes: usize, check: Check, data: &[u8]) {
    let most = ALLOCATOR.allocated() + bytes + FACTOR * data.len();
    ALLOCATOR.set_limit(most).expect("it was more than what is taken");
    let checked = check(data);
    ALLOCATOR.set_limit(usize::MAX).expect("there is no greater number");
    if let Err(problem) = checked {
        panic!("{problem}");
    }
}
