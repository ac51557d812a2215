//! Writes what the targets start from, made by the engine itself, into a folder for each: `seeds DIRECTORY`.

use std::path::PathBuf;
use std::{env, fs};

use photondb::fuzzing;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(env::args_os().nth(1).ok_or("the directory is missing")?);
    let targets = [
        ("node", fuzzing::node_seeds()),
        ("records", fuzzing::record_seeds()),
        ("segments", fuzzing::segment_seeds()),
        ("superblock", fuzzing::superblock_seeds()),
        ("store", fuzzing::store_seeds()?),
        ("document", fuzzing::document_seeds()),
        ("key", fuzzing::key_seeds()),
        ("connection", fuzzing::connection_seeds()),
        ("query", fuzzing::query_seeds()),
        ("made_query", fuzzing::made_query_seeds()),
        ("http", fuzzing::http_seeds()),
    ];
    for (target, seeds) in targets {
        let folder = directory.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
