//! What operators ask a running stream: metrics, whether it lives, whether it is ready.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use deployforge_sources::Listening;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use serde_json::json;
use tokio::runtime::Handle;

use crate::error::CommandError;

/// A loop that did not turn for so long is stuck.
const BEAT_MAX: Duration = Duration::from_secs(30);

/// Durable lag above this and ten commit intervals is too much to be ready.
const LAG_MAX: Duration = Duration::from_mins(1);

/// How often what was measured is put in order, whether anyone asks or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// A gauge that is not set for so long belongs to a partition that went.
const FORGET: Duration = Duration::from_mins(2);

/// Bounds of histograms, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What each metric is; `docs/reference/metrics.md` says more.
const COUNTERS: [(&str, &str); 21] = [
    ("deployforge_messages_total", "Messages taken in."),
    ("deployforge_message_bytes_total", "Bytes of messages taken in."),
    (
        "deployforge_observations_total",
        "Observations judged, by the level of check that settled them.",
    ),
    ("deployforge_late_observations_total", "Observations older than what is known."),
    (
        "deployforge_strayed_observations_total",
        "Observations of resources that another partition spoke of before.",
    ),
    ("deployforge_rejects_total", "Records refused, by code."),
    ("deployforge_verdicts_total", "Verdicts that changed, by the verdict they changed to."),
    ("deployforge_suppressed_total", "Findings suppressed, by fold or rule."),
    ("deployforge_commits_total", "Commits."),
    ("deployforge_maintenance_total", "Turns of maintenance of the history, by result."),
    ("deployforge_merged_files_total", "Files of the history that became part of larger ones."),
    ("deployforge_removed_files_total", "Files of the history that were old, and removed."),
    ("deployforge_begun_anew_total", "Times the worker began anew."),
    ("deployforge_stalls_total", "Times a partition was read again because nothing of it came."),
    ("deployforge_lost_messages_total", "Messages removed before they were read."),
    ("deployforge_baseline_changes_total", "Times newer baselines or rules took over."),
    ("deployforge_reloads_total", "Times the configuration was read again, by result."),
    ("deployforge_events_total", "Events published, by type."),
    ("deployforge_events_lost_commits_total", "Commits removed before they were published."),
    ("deployforge_events_left_out_total", "Events too large for a broker."),
    ("deployforge_http_requests_total", "Requests to the HTTP source, by status."),
];

/// See [`COUNTERS`].
const GAUGES: [(&str, &str); 7] = [
    ("deployforge_durable_lag_seconds", "Age of the oldest message that is not durable."),
    ("deployforge_durable_lag_bytes", "Bytes of messages that are not durable."),
    ("deployforge_partition_lag_messages", "Messages of a partition that are not taken in."),
    ("deployforge_partition_paused", "Whether a partition is paused."),
    ("deployforge_assigned_partitions", "Partitions that are read."),
    (
        "deployforge_events_lag_commits",
        "Commits that are not published, on the process that publishes.",
    ),
    ("deployforge_http_pending_bytes", "Bytes posted that are not durable."),
];

/// See [`COUNTERS`].
const HISTOGRAMS: [(&str, &str); 2] = [
    ("deployforge_epoch_seconds", "Seconds to judge an epoch."),
    ("deployforge_commit_seconds", "Seconds from the beginning to the end of a commit."),
];

/// How a worker is.
#[derive(Debug)]
pub(crate) struct Health {
    lag_max: Duration,
    vitals: Mutex<Vitals>,
}

#[derive(Debug, Default)]
struct Vitals {
    /// When the loop last turned; `None`: it has not begun.
    beat: Option<Instant>,
    assigned: usize,
    paused: usize,
    lag: Duration,
    /// Why the last worker ended, until the next has partitions.
    trouble: Option<String>,
}

impl Health {
    /// Of a worker that has not begun.
    pub(crate) fn new(interval: Duration) -> Arc<Self> {
        let lag_max = LAG_MAX + interval * 10;
        Arc::new(Self { lag_max, vitals: Mutex::default() })
    }

    fn vitals(&self) -> MutexGuard<'_, Vitals> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop has turned.
    pub(crate) fn turned(&self, (assigned, paused): (usize, usize), lag: Duration) {
        let mut vitals = self.vitals();
        (vitals.beat, vitals.lag) = (Some(Instant::now()), lag);
        (vitals.assigned, vitals.paused) = (assigned, paused);
        if assigned > 0 {
            vitals.trouble = None;
        }
    }

    /// The worker has ended, and another begins after a while.
    pub(crate) fn begins_anew(&self, reason: &str) {
        let trouble = Some(reason.to_owned());
        *self.vitals() = Vitals { trouble, ..Vitals::default() };
    }

    /// How long the loop has been stuck; `None`: it turns.
    fn stuck(&self) -> Option<Duration> {
        let beat = self.vitals().beat?;
        Some(beat.elapsed()).filter(|silence| *silence > BEAT_MAX)
    }

    /// What is in the way of being ready.
    fn obstacles(&self) -> Vec<String> {
        let mut obstacles = Vec::new();
        if let Some(silence) = self.stuck() {
            obstacles.push(format!("nothing has happened for {} s", silence.as_secs()));
        }
        let vitals = self.vitals();
        if let Some(trouble) = &vitals.trouble {
            obstacles.push(format!("the last worker ended: {trouble}"));
        }
        if vitals.assigned == 0 {
            obstacles.push("no partition is read".to_owned());
        }
        if vitals.paused > 0 {
            let (paused, of) = (vitals.paused, vitals.assigned);
            obstacles.push(format!(
                "{paused} of {of} partitions are paused, because too much of them was refused"
            ));
        }
        if vitals.lag > self.lag_max {
            let (lag, max) = (vitals.lag.as_secs(), self.lag_max.as_secs());
            obstacles.push(format!(
                "the oldest message that is not durable is {lag} s old, more than {max} s"
            ));
        }
        obstacles
    }
}

#[derive(Clone)]
struct Desk {
    health: Arc<Health>,
    figures: PrometheusHandle,
}

/// Listens for operators.
pub(crate) fn start(
    address: SocketAddr,
    health: &Arc<Health>,
    runtime: &Handle,
) -> Result<Listening, CommandError> {
    let wrong = |error: &dyn std::fmt::Display| CommandError::new(format!("metrics: {error}"));
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).map_err(|e| wrong(&e))?;
    let recorder = builder.idle_timeout(MetricKindMask::GAUGE, Some(FORGET)).build_recorder();
    let figures = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| wrong(&error))?;
    describe();
    let upkeep = figures.clone();
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Desk { health: Arc::clone(health), figures });
    Ok(Listening::start(address, "operations", router, runtime)?)
}

fn describe() {
    COUNTERS.iter().for_each(|(name, text)| metrics::describe_counter!(*name, *text));
    GAUGES.iter().for_each(|(name, text)| metrics::describe_gauge!(*name, *text));
    HISTOGRAMS.iter().for_each(|(name, text)| metrics::describe_histogram!(*name, *text));
    for name in ["deployforge_begun_anew_total", "deployforge_baseline_changes_total"] {
        metrics::counter!(name).increment(0);
    }
    for result in ["reloaded", "refused"] {
        metrics::counter!("deployforge_reloads_total", "result" => result).increment(0);
    }
}

async fn metrics_page(State(desk): State<Desk>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], desk.figures.render())
}

async fn healthz(State(desk): State<Desk>) -> impl IntoResponse {
    match desk.health.stuck() {
        None => said(StatusCode::OK, &json!({"status": "ok"})),
        Some(silence) => said(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"status": "stuck", "seconds": silence.as_secs()}),
        ),
    }
}

async fn readyz(State(desk): State<Desk>) -> impl IntoResponse {
    let obstacles = desk.health.obstacles();
    let (status, word) = if obstacles.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    said(status, &json!({"status": word, "obstacles": obstacles}))
}

fn said(status: StatusCode, text: &serde_json::Value) -> impl IntoResponse + use<> {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_who_reads_and_keeps_up() {
        let health = Health::new(Duration::from_secs(1));
        assert!(health.stuck().is_none(), "what has not begun is not stuck");
        assert_eq!(health.obstacles(), ["no partition is read"]);
        health.turned((1, 0), Duration::from_secs(70));
        assert_eq!(health.obstacles(), [""; 0]);
        health.turned((1, 0), Duration::from_secs(71));
        assert!(health.obstacles()[0].contains("more than 70 s"), "{:?}", health.obstacles());
        health.begins_anew("fenced");
        assert!(health.stuck().is_none() && health.obstacles()[0].contains("fenced"));
        health.turned((0, 0), Duration::ZERO);
        assert_eq!(health.obstacles().len(), 2, "the next worker has nothing yet");
        health.turned((1, 0), Duration::ZERO);
        assert_eq!(health.obstacles(), [""; 0]);
        health.vitals().beat = Instant::now().checked_sub(BEAT_MAX * 2);
        assert!(health.stuck().is_none_or(|silence| silence > BEAT_MAX));
    }
}
