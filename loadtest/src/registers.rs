//! Clients that read, write and delete definitions at nodes chosen by chance, and write down what they asked and what they were told, for
//! [`crate::linear`] to judge.
//!
//! Each call goes to one node and is not repeated by the client: a call that ended in an error may have been done. A definition is used for a while and then
//! left for a new one: short histories can be judged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use flintwheel_client::{ApplyOptions, Client, Code, Error, Options};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::linear::{Answer, Call, Operation};

/// Of each definition.
const CLIENTS: u64 = 3;
/// A definition is used for so long.
const LIFE: Duration = Duration::from_secs(30);
/// Between an answer and the next call, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 50..400;
/// A node tries for up to five seconds by itself.
const CALL_TIMEOUT: Duration = Duration::from_secs(7);
/// The values of a client begin at its number times this.
const VALUES: u64 = 1_000_000;

/// The calls of one definition.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Its id.
    pub id: String,
    /// In no order.
    pub operations: Vec<Operation>,
    /// Answers that no such call should get.
    pub odd: Vec<String>,
}

/// Running clients.
pub struct Registers {
    stop: watch::Sender<bool>,
    slots: JoinSet<Vec<History>>,
}

impl Registers {
    /// So many definitions at a time in this namespace, at the nodes with these addresses. What the clients choose follows from the seed.
    pub fn start(addresses: &[std::net::SocketAddr], namespace: &str, definitions: u64, seed: u64) -> Result<Self> {
        let options = || Options {
            connect_timeout: Duration::from_secs(2),
            call_timeout: CALL_TIMEOUT,
            retry_for: Duration::ZERO,
            ..Options::default()
        };
        let client = |address: &std::net::SocketAddr| Client::new(&[address.to_string()], options());
        let nodes: Vec<Client> = addresses.iter().map(client).collect::<Result<_, _>>().map_err(|e| anyhow!("{e}"))?;
        let (stop, stopped) = watch::channel(false);
        let mut slots = JoinSet::new();
        for slot in 0..definitions {
            let slot = Slot {
                nodes: nodes.clone(),
                namespace: namespace.to_owned(),
                number: slot,
                random: StdRng::seed_from_u64(seed.wrapping_add(slot)),
                begun: Instant::now(),
                stopped: stopped.clone(),
            };
            slots.spawn(slot.run());
        }
        Ok(Self { stop, slots })
    }

    /// Lets the calls under way end, and returns all histories.
    pub async fn stop(self) -> Vec<History> {
        self.stop.send_replace(true);
        self.slots.join_all().await.into_iter().flatten().collect()
    }
}

/// One definition after the other.
struct Slot {
    nodes: Vec<Client>,
    namespace: String,
    number: u64,
    random: StdRng,
    begun: Instant,
    stopped: watch::Receiver<bool>,
}

impl Slot {
    async fn run(mut self) -> Vec<History> {
        let mut histories = Vec::new();
        for life in 0.. {
            if *self.stopped.borrow() {
                break;
            }
            let id = format!("register-{}-{life}", self.number);
            let history = Arc::new(Mutex::new(History { id: id.clone(), ..History::default() }));
            let mut users = JoinSet::new();
            for client in 0..CLIENTS {
                let user = User {
                    nodes: self.nodes.clone(),
                    key: DefinitionKey::new(&self.namespace, &id),
                    listens: self.number % 2 == 1,
                    value: client * VALUES,
                    version: 0,
                    random: StdRng::seed_from_u64(self.random.random()),
                    begun: self.begun,
                    history: Arc::clone(&history),
                };
                users.spawn(user.run(self.stopped.clone()));
            }
            users.join_all().await;
            histories.push(std::mem::take(&mut *history.lock()));
        }
        histories
    }
}

/// One client of one definition: a call at a time.
struct User {
    nodes: Vec<Client>,
    key: DefinitionKey,
    /// Whether the definition waits for events: then its changes go to all nodes before they are acknowledged.
    listens: bool,
    /// The last one written.
    value: u64,
    /// As far as it knows.
    version: u64,
    random: StdRng,
    begun: Instant,
    history: Arc<Mutex<History>>,
}

impl User {
    async fn run(mut self, stopped: watch::Receiver<bool>) {
        let end = Instant::now() + LIFE;
        while Instant::now() < end && !*stopped.borrow() {
            tokio::time::sleep(Duration::from_millis(self.random.random_range(PAUSE_MS))).await;
            self.one_call().await;
        }
    }

    async fn one_call(&mut self) {
        let node = self.nodes[self.random.random_range(0..self.nodes.len())].clone();
        let call = match self.random.random_range(0..20) {
            0..9 => Call::Read,
            9..18 => {
                self.value += 1;
                Call::Write { expected: self.version, value: self.value }
            }
            _ => Call::Delete,
        };
        let began_us = self.now_us();
        let told = self.ask(&node, call).await;
        let ended_us = self.now_us();
        let answer = match told {
            Ok(answer) => Some((answer, ended_us)),
            Err(error) => {
                if !matches!(error.code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) {
                    self.history.lock().odd.push(format!("{call:?}: {:?} {error}", error.code));
                }
                None
            }
        };
        self.learn(answer.map(|(answer, _)| answer));
        self.history.lock().operations.push(Operation { call, began_us, answer });
    }

    fn learn(&mut self, answer: Option<Answer>) {
        match answer {
            Some(Answer::Found { version, .. } | Answer::Written { version }) => self.version = version,
            Some(Answer::Nothing | Answer::Deleted) => self.version = 0,
            // One of the next reads will tell.
            Some(Answer::Conflict) | None => {}
        }
    }

    async fn ask(&self, node: &Client, call: Call) -> Result<Answer, Error> {
        match call {
            Call::Read => match node.get(&self.key).await {
                Ok(record) => {
                    let value = record.definition.metadata.name.parse().unwrap_or(u64::MAX);
                    Ok(Answer::Found { version: record.status.version, value })
                }
                Err(error) if error.code == Code::NotFound => Ok(Answer::Nothing),
                Err(error) => Err(error),
            },
            Call::Write { expected, value } => {
                let options = ApplyOptions { expected_version: Some(expected), ..ApplyOptions::default() };
                match node.apply(&self.definition(value), options).await {
                    Ok(applied) => Ok(Answer::Written { version: applied.new_version }),
                    Err(error) if error.code == Code::Aborted => Ok(Answer::Conflict),
                    Err(error) => Err(error),
                }
            }
            Call::Delete => match node.delete(&self.key, false).await {
                Ok(_) => Ok(Answer::Deleted),
                Err(error) if error.code == Code::NotFound => Ok(Answer::Nothing),
                Err(error) => Err(error),
            },
        }
    }

    /// With the value as its name. It never fires.
    fn definition(&self, value: u64) -> ActivityDefinition {
        let mut resource = json!({
            "apiVersion": "flintwheel.dev/v1",
            "kind": "ActivityDefinition",
            "metadata": {"namespace": self.key.namespace, "id": self.key.id, "name": value.to_string()},
            "spec": {"start_workflow": {"type": "LoadTest", "task_queue": "loadtest"}},
        });
        if self.listens {
            resource["spec"]["trigger"] = json!({"event": {"types": ["dev.flintwheel.register"]}});
        }
        serde_json::from_value(resource).expect("a register's definition is a valid one")
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
