//! Bringing what was committed into the tables, and telling when a part of the history is lost.
//!
//! Each manifest says for each table which one before it had files for that table. So the commits that a
//! table lacks are found from the newest one downwards, those alone, whatever else was cleaned out of the
//! ledger. A table that holds what the ledger does not know, or lacks what is not there any more, is
//! damage, and is told: whoever went on would count rows twice, or leave them out for ever.
//!
//! Others commit and maintain meanwhile. A commit is in the ledger before it is in a table, and in all its
//! tables before it leaves the ledger: so the ledger is read after a table that knows more, and a table
//! after the ledger that has less, before anything is called damage.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use object_store::Error;

use crate::ledger::{KEPT, Ledger};
use crate::{History, HistoryError, LedgerError, Manifest, StatePart, Table, delta};

/// What a table lacks.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    /// Manifests that are there, or none.
    Found,
    /// It holds one that the ledger does not have.
    Ahead,
    /// It lacks this one, which is not there.
    Gone(u64),
}

impl History {
    /// Opens the ledger of a history whose tables were read, and brings into them what they lack. `last`
    /// is the highest number in any of them.
    pub(crate) async fn open_ledger(&mut self, last: u64) -> Result<(), HistoryError> {
        let ledger = Ledger::open(&self.place, last, self.pause).await?;
        if !ledger.begun() && last > 0 {
            // A history from before there was a ledger says its last number in its tables alone.
            for (table, opened) in &self.tables {
                let had = delta::had_ledger(opened).await;
                if had.map_err(|error| HistoryError::delta(*table, error))? {
                    let name = table.name();
                    let reason = format!("it is empty, and the table {name} holds commits of it");
                    return Err(ledger.damaged(reason).into());
                }
            }
        }
        self.ledger = Some(ledger);
        self.catch_up().await?;
        let ledger = self.ledger.as_mut().expect("opened just now");
        for (table, log) in &self.logs {
            ledger.learn(*table, log.number());
        }
        Ok(())
    }

    /// Brings all manifests into their tables, those of others included.
    pub(crate) async fn catch_up(&mut self) -> Result<(), HistoryError> {
        for (number, manifest) in self.lacking().await? {
            for (table, adds) in &manifest.files {
                if self.logs[table].is_old() {
                    self.read_anew(*table).await?;
                }
                let log = self.logs.get_mut(table).expect("every table is open");
                log.append_once(adds, &manifest, self.pause).await?;
            }
            self.applied = number;
        }
        let head = self.ledger().head().number;
        self.applied = head;
        // Others may be ahead. If it is not by commits of the ledger, those that come next here would have
        // numbers that the table holds already.
        let newest = self.logs.values().max_by_key(|log| log.number()).expect("there are tables");
        if newest.number() > head {
            let there = self.ledger().newest_after(head).await?;
            let there = there.map_or(head, |manifest| manifest.number);
            if newest.number() > there {
                return Err(self.ahead(newest.table(), there).into());
            }
        }
        Ok(())
    }

    /// The manifests that are not in all their tables.
    async fn lacking(&mut self) -> Result<BTreeMap<u64, Manifest>, HistoryError> {
        let mut found = BTreeMap::new();
        for table in Table::ALL {
            loop {
                match self.lack(table, &mut found).await? {
                    Lack::Found => break,
                    Lack::Ahead => {
                        let ledger = self.ledger.as_mut().expect("opened for writing");
                        ledger.refresh().await?;
                        if self.lack(table, &mut found).await? == Lack::Ahead {
                            let head = self.ledger().head().number;
                            return Err(self.ahead(table, head).into());
                        }
                    }
                    Lack::Gone(number) => {
                        self.read_anew(table).await?;
                        let held = self.logs[&table].number();
                        if held < number {
                            let name = table.name();
                            let reason = format!(
                                "commit {number} is missing, and the table {name} needs it: it holds {held}"
                            );
                            return Err(self.ledger().damaged(reason).into());
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Finds what one table lacks, from the newest manifest downwards.
    async fn lack(
        &self,
        table: Table,
        found: &mut BTreeMap<u64, Manifest>,
    ) -> Result<Lack, HistoryError> {
        let (ledger, held) = (self.ledger(), self.logs[&table].number());
        let head = ledger.head();
        if held > head.number {
            return Ok(Lack::Ahead);
        }
        // An earlier version did not say it: each one before is looked at, as far as they must be there.
        let oldest = held.max(self.applied).max(head.number.saturating_sub(KEPT));
        let mut next = head.last_of(table);
        let mut number = next.unwrap_or(head.number);
        while number > if next.is_some() { held } else { oldest } {
            if let Entry::Vacant(place) = found.entry(number) {
                let manifest = if number == head.number {
                    Some(head.clone())
                } else {
                    ledger.read(number).await?
                };
                let Some(manifest) = manifest else {
                    return Ok(if next.is_some() { Lack::Gone(number) } else { Lack::Found });
                };
                place.insert(manifest);
            }
            next = found[&number].before.get(&table).copied().filter(|before| *before < number);
            number = next.unwrap_or(number - 1);
        }
        Ok(if next.is_some() && number < held { Lack::Ahead } else { Lack::Found })
    }

    /// Reads a table that others may have committed to.
    async fn read_anew(&mut self, table: Table) -> Result<(), HistoryError> {
        if !self.read_table(table).await? {
            return Err(self.damaged(table));
        }
        delta::check_writable(&self.tables[&table], table)
    }

    /// Whether parts of states that are damaged are still named: after many commits of others they may
    /// have been removed, which passes.
    pub(crate) async fn check_named(&self, parts: &[StatePart]) -> Result<(), LedgerError> {
        let ledger = self.ledger();
        let newest = ledger.newest_after(ledger.head().number).await?;
        let newest = newest.as_ref().unwrap_or(ledger.head());
        let named = |part| newest.states.values().any(|state| state.parts.contains(part));
        let Some(part) = parts.iter().find(|part| !named(part)) else { return Ok(()) };
        let source = "another writer wrote the state of the partition anew".into();
        let error = Error::NotFound { path: part.file.clone(), source };
        Err(LedgerError::Store { what: "read", error })
    }

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("opened for writing")
    }

    fn ahead(&self, table: Table, last: u64) -> LedgerError {
        let (name, held) = (table.name(), self.logs[&table].number());
        let reason = if held > last {
            format!("its last commit is {last}, and the table {name} holds commit {held}")
        } else {
            format!("the table {name} holds commit {held}, and by the ledger it has no such one")
        };
        self.ledger().damaged(reason)
    }
}
