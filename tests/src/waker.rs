//! The background worker that wakes the listeners of one database, as tests see it.

use std::fs;

use tokio_postgres::Client;

use crate::listener::Listener;
use crate::patience::eventually;
use crate::postgres::{ADMIN, APP, Postgres};

/// The process of the waker of a database.
pub const WAKER: &str =
    "select pid from pg_stat_activity where backend_type = 'quote_collab waker' and datname = $1";

/// The process of the waker of a database, once it runs.
pub async fn waker(admin: &Client, database: &str) -> i32 {
    let found =
        || async { admin.query_opt(WAKER, &[&database]).await.expect("the statistics are read").is_some() };
    eventually("a waker runs", found).await;
    admin.query_one(WAKER, &[&database]).await.expect("the waker still runs").get(0)
}

/// Changes one quote.
pub async fn touch(app: &Client) {
    let changed = app.execute("update quotes set notes = coalesce(notes, '') || '.' where id = (select min(id::text)::uuid from quotes)", &[]);
    assert_eq!(changed.await.expect("a quote changes"), 1);
}

/// A listener of a database whose waker runs and has nothing more to say: what is heard later has another reason.
pub async fn settled(server: &Postgres, database: &str) -> (Listener, Client, i32) {
    let mut listener = Listener::to("quote_events", &server.url(database, ADMIN)).await;
    let app = server.client(database, APP).await;
    touch(&app).await;
    let waker = waker(&listener.client, database).await;
    listener.hears_from(waker).await;
    quiet(&mut listener, waker).await;
    (listener, app, waker)
}

/// Waits until the waker has said all that it was told of, and returns who was heard meanwhile.
pub async fn quiet(listener: &mut Listener, waker: i32) -> Vec<i32> {
    let client = &listener.client;
    eventually("the waker sleeps", || async move {
        // A waker that was told of a commit is runnable before the commit is acknowledged, until it has sent its NOTIFY
        // and waits for its latch again. It sleeps elsewhere, too: hence asked before and after.
        waits_for_its_latch(client, waker).await
            && is_asleep(waker)
            && waits_for_its_latch(client, waker).await
    })
    .await;
    listener.heard().await
}

async fn waits_for_its_latch(client: &Client, waker: i32) -> bool {
    let query = "select wait_event = 'Extension' from pg_stat_activity where pid = $1";
    let row = client.query_opt(query, &[&waker]).await.expect("the statistics are read");
    row.and_then(|row| row.get::<_, Option<bool>>(0)).unwrap_or(false)
}

fn is_asleep(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('S'))
}

/// Waits until a keeper has sealed something.
pub async fn sealed(client: &Client) {
    let sealed = "select exists (select from quote_changes_seals where rows > 0)";
    eventually("the house is kept", || async {
        client.query_one(sealed, &[]).await.expect("the seals are read").get(0)
    })
    .await;
}
