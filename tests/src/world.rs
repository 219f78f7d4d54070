//! Everything at once, as `cargo xtask up` runs it.

use tokio_postgres::Client;
use uuid::Uuid;

use crate::gateway::Gateway;
use crate::nats::{Nats, Release};
use crate::postgres::{ADMIN, APP, GATEWAY, Postgres, Settings};

/// PostgreSQL with the sample ERP attached, NATS and the gateway. Stops in this order.
#[derive(Debug)]
pub struct World {
    /// The gateway.
    pub gateway: Gateway,
    /// NATS, unless embedded.
    pub nats: Option<Nats>,
    /// PostgreSQL.
    pub postgres: Postgres,
}

/// A quote of the sample ERP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Id of the quote.
    pub id: Uuid,
    /// Id of its first line.
    pub line: Uuid,
    /// Tenant of the quote.
    pub tenant: Uuid,
}

impl World {
    /// Starts all with Debian's NATS.
    pub async fn start() -> Self {
        Self::with_nats(Release::Debian).await
    }

    /// Starts all with the NATS server of a release.
    pub async fn with_nats(release: Release) -> Self {
        let (postgres, nats) = tokio::join!(Self::postgres(), Nats::start(release));
        let gateway = Gateway::start(&postgres, Some(&nats)).await;
        Self { gateway, nats: Some(nats), postgres }
    }

    /// Starts all without NATS.
    pub async fn embedded() -> Self {
        let postgres = Self::postgres().await;
        let gateway = Gateway::start(&postgres, None).await;
        Self { gateway, nats: None, postgres }
    }

    /// Starts all on a server where tenants are verified, and which the gateway was granted to tell them.
    pub async fn verified() -> Self {
        let (postgres, nats) =
            tokio::join!(Postgres::start_with(Settings::verified()), Nats::start(Release::Debian));
        let admin = postgres.client("erp", ADMIN).await;
        let granted = admin.batch_execute(&format!("select grant_quote_gateway('{GATEWAY}')")).await;
        granted.expect("the gateway is granted what it needs");
        let gateway = Gateway::start(&postgres, Some(&nats)).await;
        Self { gateway, nats: Some(nats), postgres }
    }

    /// As a server that wants the best delivery is set up.
    async fn postgres() -> Postgres {
        Postgres::start_with(Settings::preloaded(&[])).await
    }

    /// NATS, in a world that has it.
    #[must_use]
    pub fn nats(&self) -> &Nats {
        self.nats.as_ref().expect("this world has NATS")
    }

    /// A connection as the ERP.
    pub async fn app(&self) -> Client {
        self.postgres.client("erp", APP).await
    }

    /// A connection as the superuser.
    pub async fn admin(&self) -> Client {
        self.postgres.client("erp", ADMIN).await
    }

    /// Has the sessions of the gateway begin with a setting: those that it has end.
    pub async fn begin_gateway_with(&self, setting: &str) {
        let statements = format!(
            "alter role {GATEWAY} set {setting};
             select pg_terminate_backend(pid) from pg_stat_activity where usename = '{GATEWAY}'"
        );
        self.admin().await.batch_execute(&statements).await.expect("the superuser may do so");
    }

    /// A draft of a tenant, the same in every run.
    pub async fn quote_of(&self, tenant: Uuid) -> Quote {
        let quotes = self.quotes_of(tenant, 1).await;
        *quotes.first().expect("the tenant has a draft")
    }

    /// Drafts of a tenant, the same in every run.
    pub async fn quotes_of(&self, tenant: Uuid, count: i64) -> Vec<Quote> {
        const DRAFTS: &str = "select q.id, l.id from quotes q join quote_lines l on l.quote_id = q.id and l.line_number = 1 \
            where q.tenant_id = $1 and q.status = 'DRAFT' order by q.quote_number limit $2";
        let rows = self.admin().await.query(DRAFTS, &[&tenant, &count]).await.expect("drafts are read");
        rows.iter().map(|row| Quote { id: row.get(0), line: row.get(1), tenant }).collect()
    }
}
