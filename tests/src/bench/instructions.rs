//! How many instructions an UPDATE of 2 of 25 columns takes in each of the ways, counted by valgrind in a server of one
//! process: the same number again on a busy machine.

use std::fmt::Write as _;
use std::process::Stdio;

use super::machine;
use super::peers::{self, Peer, QUOTES};
use crate::postgres::{Postgres, Settings};

/// Updates that warm caches and compile plans, and updates that are counted.
const RUNS: [usize; 2] = [100, 600];

/// What fills the histories.
const FILL: &str = "update quotes set shipping_amount = 3, contact_name = 'Grace'; update quotes set shipping_amount = 4, contact_name = 'Ada'";

/// Runs the comparison and prints it.
pub async fn run() {
    println!("instructions: valgrind --tool=callgrind, postgres --single, {}", machine());
    let settings =
        Settings { durable: false, extra: vec![("autovacuum", "off".to_owned()), ("jit", "off".to_owned())] };
    let mut server = Postgres::start_with(settings).await;
    let peers: Vec<Peer> = peers::all().into_iter().filter(|peer| peer.update == peers::UPDATE).collect();
    for peer in &peers {
        let client = peers::prepare(&server, peer).await;
        // A history that is there already: indexes have a depth.
        for statement in [FILL, "vacuum analyze", "checkpoint"] {
            client.batch_execute(statement).await.expect(statement);
        }
    }
    server.stop();
    println!("\n| way | instructions per update | x plain |\n|---|---|---|");
    let mut plain = None;
    for peer in &peers {
        let [few, many] = RUNS.map(|updates| count(&server, peer, updates));
        let each = (many - few) / (RUNS[1] - RUNS[0]) as u64;
        let plain = *plain.get_or_insert(each);
        println!("| {} | {each} | {:.2} |", peer.title, super::as_f64(each) / super::as_f64(plain));
    }
}

/// Instructions of a server that starts, runs so many updates and stops.
fn count(server: &Postgres, peer: &Peer, updates: usize) -> u64 {
    let mut valgrind =
        server.single_user(&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"], peer.name);
    let mut script = format!("prepare u(text, text, uuid) as {}\n", peer.update);
    for turn in 1..=updates {
        let quote = uuid::Uuid::from_u128(peers::QUOTE_ID | (turn * 7919 % QUOTES + 1) as u128);
        let number = turn % 977 + 10;
        // Writing to a String cannot fail.
        let _ = writeln!(script, "execute u('{number}', 'Contact {number}', '{quote}')");
    }
    let mut child = valgrind
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("valgrind is installed: apt-get install valgrind");
    let mut input = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut input, script.as_bytes()));
    let output = child.wait_with_output().expect("valgrind ends");
    writer.join().expect("a writer").expect("the statements are read");
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .unwrap_or_else(|| panic!("valgrind counts: {said}"))
}
