//! Many writers at once, with everything that real ones do: rollbacks, savepoints, several rows, several tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::world::{Quote, World};

/// Writers that run until their transactions are spent.
#[derive(Debug)]
pub struct Load {
    writers: JoinSet<()>,
    done: Arc<AtomicU64>,
}

impl Load {
    /// Starts writers that together make this many transactions on these quotes. The same seed makes the same ones.
    pub async fn start(world: &World, quotes: &[Quote], writers: u64, transactions: u64, seed: u64) -> Self {
        let mut load = Self { writers: JoinSet::new(), done: Arc::default() };
        for writer in 0..writers {
            let (client, quotes, done) = (world.app().await, quotes.to_vec(), Arc::clone(&load.done));
            load.writers.spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(writer));
                for turn in 0..transactions / writers {
                    write(&client, &quotes, &mut rng, turn).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    /// Transactions that have ended.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until this many transactions have ended.
    pub async fn reaches(&self, transactions: u64) {
        crate::patience::eventually("the writers go on", || async { self.done() >= transactions }).await;
    }

    /// Waits until all transactions have ended.
    pub async fn finish(mut self) {
        while let Some(writer) = self.writers.join_next().await {
            writer.expect("a writer writes");
        }
    }
}

/// One transaction, sent as a whole. The quote is always locked before its line, so writers wait but never deadlock.
async fn write(client: &Client, quotes: &[Quote], rng: &mut StdRng, turn: u64) {
    let Quote { id, line, .. } = quotes[rng.random_range(0..quotes.len())];
    let header = |text: &str| format!("update quotes set notes = '{text} {turn}' where id = '{id}'");
    let price = rng.random_range(1..100_000);
    let item = format!(
        "update quote_lines set unit_price = {price} * 0.0001, quantity = {turn} where id = '{line}'"
    );
    let statements = match rng.random_range(0..20) {
        0 | 1 => format!("begin; {}; {item}; rollback", header("undone")),
        2 => format!("begin; {}; savepoint s; {item}; rollback to s; {}; commit", header("a"), header("b")),
        3 => format!("begin; {}; savepoint s; {item}; release s; {item} + 1; commit", header("c"))
            .replace(" + 1", ""),
        4 => format!("begin; savepoint s; {}; rollback to s; commit", header("undone")),
        5..=8 => format!("begin; {}; {item}; commit", header("both")),
        9 => format!("{}; {}", header("same"), header("same")),
        10..=13 => item,
        _ => header("one"),
    };
    client.batch_execute(&statements).await.expect("the ERP may write");
}
