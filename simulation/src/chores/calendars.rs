//! The calendar: changed at its home, brought from there to all shards, and definitions due anew by it.

use super::{Chore, Done, Fault};
use crate::clients::NAMESPACE;
use crate::leader::{Ask, Leader, Message, REMEMBERED, Told, What};
use crate::network::hop;
use crate::node::Here;
use crate::planted::Planted;
use crate::stage::{NODES, SHARDS};
use crate::workload::CALENDAR;
use bytes::Bytes;
use flintwheel_model::calendar::Calendar;
use flintwheel_model::ids::{calendar_request_digest, request_content};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_node::admission::{Admitted, Book, admit_with};
use flintwheel_node::calendars::{self, Given, View};
use flintwheel_node::due_anew::due_anew;
use flintwheel_shard::calendar_entry::{CalendarMark, CalendarStep, PutCalendar, Retime, Retimed, Uses};
use flintwheel_shard::calendars::users;
use flintwheel_shard::entry::{Body, NEVER, Request};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Calendared, Outcome};
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot;

/// Definitions of one entry: few, so that there are several.
const PAGE: usize = 2;
/// How often is looked for what is not in all shards yet, in microseconds.
const ROUND: i64 = 500_000;
/// How long a shard is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an applied definition asks for, and the calendars that it names.
pub(crate) type ByTheDays = (Admitted, Option<Uses>);

/// As an operator gives it: this day is in it, or one that never comes.
fn calendar(closed: bool) -> Calendar {
    let day = if closed { "2027-01-15" } else { "2040-01-01" };
    let resource = json!({
        "apiVersion": "flintwheel.dev/v1",
        "kind": "Calendar",
        "metadata": {"namespace": NAMESPACE, "id": CALENDAR},
        "spec": {"dates": [day]},
    });
    serde_json::from_value(resource).expect("it is a valid calendar")
}

impl Leader {
    /// A definition without fault, and the calendars that it names. None: it can't be due by the days of this moment.
    pub(crate) fn admitted(&self, definition: &ActivityDefinition) -> Result<Option<ByTheDays>, Fault> {
        let given = Given::new();
        let view = View::new(&self.chores.known, &self.group, NAMESPACE, &given).map_err(|error| error.to_string())?;
        let find = |name: &str| view.find(name);
        let names = || view.names().into_iter().map(str::to_owned).collect();
        let Ok(admitted) = admit_with(definition, &Book { find: &find, names: &names }) else { return Ok(None) };
        let names = admitted.calendars.clone();
        let uses = (!names.is_empty()).then_some(Uses { revision: view.seen, names });
        Ok(Some((admitted, uses)))
    }

    /// Changes the calendar, at its home.
    pub(crate) fn turn_calendar(
        &mut self,
        closed: bool,
        request: &str,
        to: oneshot::Sender<Told>,
    ) -> Result<(), Fault> {
        let given = calendar(closed);
        let planned = calendars::plan(&self.group, NAMESPACE, std::slice::from_ref(&given));
        let planned = planned.map_err(|error| error.to_string())?.map_err(|(_, faults)| faults.to_string())?;
        let document: Bytes = serde_json::to_vec(&given).map_err(|error| error.to_string())?.into();
        let content = request_content(&[b"calendar", &document]);
        let digest = calendar_request_digest(&DefinitionKey::new(NAMESPACE, CALENDAR), request);
        let put = PutCalendar {
            namespace: NAMESPACE.to_owned(),
            name: CALENDAR.to_owned(),
            document,
            refers: Vec::new(),
            touched: planned.touched,
            expected_version: None,
            truth: planned.truth,
            request: Some(Request { digest, content, window: REMEMBERED }),
        };
        self.propose(Body::Calendar(CalendarStep::Put(put)), What::Chore(Chore::Put(to)));
        Ok(())
    }

    /// It is acknowledged when all shards have it: who is told that it is on its way asks again.
    pub(super) fn put(&mut self, to: oneshot::Sender<Told>, outcome: Done) -> Result<(), Fault> {
        let taken = matches!(outcome, Ok(Outcome::Calendar(Calendared::Put { .. } | Calendared::Repeated(_))));
        let pending =
            self.read(|machine| machine.calendars().home(NAMESPACE, CALENDAR).is_none_or(|head| head.pending))?;
        let _ = to.send(if taken && !pending { Told::Spread } else { Told::Failed });
        self.chores.bring_at = i64::MIN;
        self.bring(self.here.now())
    }

    /// Brings what is not in all shards, if anything is.
    pub(super) fn bring(&mut self, now: i64) -> Result<(), Fault> {
        if self.chores.bringing || now < self.chores.bring_at {
            return Ok(());
        }
        self.chores.bring_at = now + ROUND;
        let pending = self.read(|machine| {
            let head = machine.calendars().home(NAMESPACE, CALENDAR).filter(|head| head.pending)?;
            Some(CalendarMark { namespace: NAMESPACE.to_owned(), name: CALENDAR.to_owned(), revision: head.revision })
        })?;
        let Some(mark) = pending else { return Ok(()) };
        let days = calendars::days_of(&self.group, NAMESPACE, CALENDAR).map_err(|error| error.to_string())?;
        let days = days.map_err(|faults| faults.to_string())?;
        self.chores.bringing = true;
        let (here, me) = (self.here.clone(), self.me.clone());
        self.here.spawn(async move {
            let mut brought = true;
            for shard in 0..SHARDS {
                brought = brought && give(&here, shard, &mark, &days).await == Some(Told::Follows);
            }
            // Who led may lead no more: its successor finds it in the state.
            let _ = me.send(Message::Brought(brought.then_some(mark))).await;
        });
        Ok(())
    }

    pub(crate) fn brought(&mut self, mark: Option<CalendarMark>) -> Result<(), Fault> {
        self.chores.bringing = false;
        if let Some(mark) = mark {
            let step = CalendarStep::Spread { mark, users: 0, moved: 0 };
            self.propose(Body::Calendar(step), What::Chore(Chore::Spread));
        }
        Ok(())
    }

    /// This shard is given the days of a calendar.
    pub(crate) fn take_days(&mut self, mark: CalendarMark, days: Bytes, to: oneshot::Sender<Told>) {
        self.propose(Body::Calendar(CalendarStep::Days { mark, days }), What::Chore(Chore::Days(to)));
    }

    pub(super) fn took_days(&mut self, to: oneshot::Sender<Told>, outcome: Done) -> Result<(), Fault> {
        let follows = match outcome {
            Ok(Outcome::Calendar(Calendared::Local { local: Some(local), .. })) => local.done,
            _ => false,
        };
        let _ = to.send(if follows { Told::Follows } else { Told::Failed });
        self.retime()
    }

    /// Has the next definitions be due by the days that this shard has.
    pub(super) fn retime(&mut self) -> Result<(), Fault> {
        if self.chores.retiming || self.here.now() < self.chores.from {
            return Ok(());
        }
        let step = match self.page()? {
            Some(retime) => Some(CalendarStep::Retime(retime)),
            None => self.again()?.map(CalendarStep::Again),
        };
        let Some(step) = step else { return Ok(()) };
        let items = match &step {
            CalendarStep::Retime(retime) => &retime.items[..],
            CalendarStep::Again(items) => &items[..],
            _ => &[],
        };
        let numbers = items.iter().map(|item| item.number).collect();
        self.chores.retiming = true;
        self.propose(Body::Calendar(step), What::Chore(Chore::Retime(numbers)));
        Ok(())
    }

    fn page(&mut self) -> Result<Option<Retime>, Fault> {
        let unfinished = self.read(|machine| {
            machine.calendars().unfinished().map(|(namespace, name, local)| {
                let (namespace, name) = (namespace.to_owned(), name.to_owned());
                (CalendarMark { namespace, name, revision: local.revision }, local.from)
            })
        })?;
        let Some((mark, from)) = unfinished else { return Ok(None) };
        let numbers = users(&self.group.state(), (&mark.namespace, &mark.name), from, PAGE);
        let numbers = numbers.map_err(|error| error.to_string())?;
        let mut items = self.all_due_anew(&numbers)?;
        if self.has(Planted::CalendarNotFollowed) {
            items.clear();
        }
        let from = numbers.last().map_or(from, |number| number + 1);
        Ok(Some(Retime { mark, items, from, last: numbers.len() < PAGE }))
    }

    /// Definitions that were resumed.
    fn again(&mut self) -> Result<Option<Vec<Retimed>>, Fault> {
        let numbers: Vec<u64> = self.read(|machine| machine.calendars().again().take(PAGE).collect())?;
        let items = self.all_due_anew(&numbers)?;
        Ok((!items.is_empty()).then_some(items))
    }

    fn all_due_anew(&mut self, numbers: &[u64]) -> Result<Vec<Retimed>, Fault> {
        let mut items = Vec::with_capacity(numbers.len());
        for number in numbers {
            items.extend(self.due_anew(*number)?);
        }
        Ok(items)
    }

    fn due_anew(&mut self, number: u64) -> Result<Option<Retimed>, Fault> {
        let Some(slot) = self.read(|machine| machine.slots().get(number).copied())? else { return Ok(None) };
        let stored = query::version(&self.group.state(), number, slot.version).map_err(|error| error.to_string())?;
        let Some(stored) = stored else { return Ok(None) };
        let now = self.here.now();
        let (known, group) = (&self.chores.known, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        let next = due_anew(&mut self.chores.retime_plans, &stored, &slot, now, &find).unwrap_or(NEVER);
        Ok(Some(Retimed { number, generation: slot.generation, nominal: slot.next, next }))
    }

    pub(super) fn retimed(&mut self, numbers: &[u64], outcome: Done) -> Result<(), Fault> {
        self.chores.retiming = false;
        match outcome {
            Ok(Outcome::Calendar(_)) => {
                numbers.iter().try_for_each(|number| self.arm_from_cursor(*number))?;
                self.retime()
            }
            // Looked at again by the next tick.
            _ => Ok(()),
        }
    }
}

/// Gives a shard the days of a calendar, and hears whether it has them and is due by them.
async fn give(here: &Here, shard: u32, mark: &CalendarMark, days: &Bytes) -> Option<Told> {
    let stage = &here.stage;
    let leads = (1..=NODES).find(|node| stage.nodes[node].desk(shard).is_some())?;
    let there = hop(stage, here.number, leads)?;
    stage.executor.sleep(there).await;
    let desk = stage.nodes[&leads].desk(shard)?;
    let (to, told) = oneshot::channel();
    desk.try_send(Message::Ask(Ask::Days(mark.clone(), days.clone()), to)).ok()?;
    let patience = stage.executor.sleep(PATIENCE);
    let told = tokio::select! {
        biased;
        told = told => told.ok()?,
        () = patience => return None,
    };
    let back = hop(stage, leads, here.number)?;
    stage.executor.sleep(back).await;
    Some(told)
}
