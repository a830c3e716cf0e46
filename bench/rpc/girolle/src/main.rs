//! girolle as a case of the benchmark.
//!
//!     bench-girolle service|client AMQP_URI NAME SIZE
//!
//! serves a document back, or calls that service with as many calls in flight
//! as a line of standard input says. What it reads and writes is told in
//! harness/role.go. One thread waits for all replies: the client of girolle
//! 2.0.0 wakes only one of several that wait, which may be the wrong one.

use girolle::prelude::*;
use std::collections::VecDeque;
use std::io::{stdin, stdout, BufRead, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[girolle]
fn put(document: Value) -> Value {
    document
}

fn config(uri: &str) -> Config {
    Config::default()
        .with_amqp_uri(uri)
        .with_rpc_exchange("nameko-rpc")
        .with_max_workers(128)
        .with_prefetch_count(128)
}

fn serve(uri: &str, name: &'static str) {
    std::thread::spawn(|| {
        for line in stdin().lock().lines() {
            if line.is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    RpcService::new(config(uri), name)
        .register(put)
        .start()
        .expect("the service runs until its input ends");
}

fn document(size: usize) -> Value {
    let mut d = json!({"id": "7434029", "name": "Ada Lovelace", "count": 42, "score": 0.75, "tags": ["a", "bc"], "text": ""});
    let left = size - d.to_string().len();
    d["text"] = "lorem ipsum ".repeat(size)[..left].into();
    d
}

struct Turn {
    begun: SystemTime,
    elapsed: Duration,
    times: Vec<Duration>,
    errors: usize,
}

fn work(client: &RpcClient, name: &str, sent: &Value, callers: usize, time: Duration) -> Turn {
    let (begun, start) = (SystemTime::now(), Instant::now());
    let mut turn = Turn { begun, elapsed: Duration::ZERO, times: Vec::new(), errors: 0 };
    let mut flying: VecDeque<(RpcReply, Instant)> = VecDeque::new();
    let call = |flying: &mut VecDeque<_>| {
        let reply = client
            .call_async(name, "put", Payload::new().arg(sent))
            .expect("the service is registered");
        flying.push_back((reply, Instant::now()));
    };
    for _ in 0..callers {
        call(&mut flying);
    }
    while let Some((reply, sent_at)) = flying.pop_front() {
        match client.result(&reply) {
            Ok(result) if result.get_value() == *sent => turn.times.push(sent_at.elapsed()),
            _ => turn.errors += 1,
        }
        if start.elapsed() < time {
            call(&mut flying);
        }
    }
    turn.elapsed = start.elapsed();
    turn
}

fn report(turn: &mut Turn) -> Value {
    turn.times.sort();
    let at = |share: f64| {
        let i = (turn.times.len() as f64 * share) as usize;
        turn.times.get(i).map_or(0, |t| t.as_nanos() as u64)
    };
    let begun = turn.begun.duration_since(UNIX_EPOCH).expect("the clock is set");
    json!({"begun": begun.as_nanos() as u64, "elapsed": turn.elapsed.as_nanos() as u64,
        "calls": turn.times.len(), "errors": turn.errors, "p50": at(0.50), "p99": at(0.99)})
}

fn say(line: Value) {
    println!("{line}");
    stdout().flush().expect("somebody listens");
}

fn call(uri: &str, name: &str, size: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut client = RpcClient::new(config(uri));
    runtime.block_on(client.register_service(name)).expect("register");
    runtime.block_on(client.start()).expect("start");
    let sent = document(size);
    std::thread::sleep(Duration::from_secs(1)); // a request before the service has its queue is lost, and waited for
    work(&client, name, &sent, 1, Duration::ZERO);
    say(json!({}));
    for line in stdin().lock().lines() {
        let order: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let callers = order["callers"].as_u64().expect("callers") as usize;
        let time = Duration::from_nanos(order["time"].as_u64().expect("time"));
        say(report(&mut work(&client, name, &sent, callers, time)));
    }
    std::process::exit(0);
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, role, uri, name, size] = &args[..] else {
        panic!("usage: bench-girolle service|client AMQP_URI NAME SIZE");
    };
    match role.as_str() {
        "service" => serve(uri, name.clone().leak()),
        _ => call(uri, name, size.parse().expect("a size")),
    }
}
