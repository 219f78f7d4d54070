//! The pages that the binary carries.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::App;

/// A file of the binary.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file there is: what is not named here is not served.
const ASSETS: &[Asset] = &[
    Asset { path: "/api.js", content_type: JAVASCRIPT, body: include_str!("../../web/api.js") },
    Asset { path: "/app.js", content_type: JAVASCRIPT, body: include_str!("../../web/app.js") },
    Asset { path: "/conflict.js", content_type: JAVASCRIPT, body: include_str!("../../web/conflict.js") },
    Asset { path: "/element.js", content_type: JAVASCRIPT, body: include_str!("../../web/element.js") },
    Asset { path: "/feed.js", content_type: JAVASCRIPT, body: include_str!("../../web/feed.js") },
    Asset { path: "/fields.js", content_type: JAVASCRIPT, body: include_str!("../../web/fields.js") },
    Asset { path: "/icon.svg", content_type: SVG, body: include_str!("../../web/icon.svg") },
    Asset { path: "/", content_type: HTML, body: include_str!("../../web/index.html") },
    Asset { path: "/live.js", content_type: JAVASCRIPT, body: include_str!("../../web/live.js") },
    Asset { path: "/open-quote.js", content_type: JAVASCRIPT, body: include_str!("../../web/open-quote.js") },
    Asset { path: "/operations.js", content_type: JAVASCRIPT, body: include_str!("../../web/operations.js") },
    Asset { path: "/picker.js", content_type: JAVASCRIPT, body: include_str!("../../web/picker.js") },
    Asset { path: "/presence.js", content_type: JAVASCRIPT, body: include_str!("../../web/presence.js") },
    Asset { path: "/row-editor.js", content_type: JAVASCRIPT, body: include_str!("../../web/row-editor.js") },
    Asset { path: "/row.js", content_type: JAVASCRIPT, body: include_str!("../../web/row.js") },
    Asset { path: "/sheet.js", content_type: JAVASCRIPT, body: include_str!("../../web/sheet.js") },
    Asset { path: "/style.css", content_type: CSS, body: include_str!("../../web/style.css") },
    Asset { path: "/token.js", content_type: JAVASCRIPT, body: include_str!("../../web/token.js") },
    Asset { path: "/console/console.css", content_type: CSS, body: include_str!("console/console.css") },
    Asset { path: "/console/console.js", content_type: JAVASCRIPT, body: include_str!("console/console.js") },
    Asset {
        path: "/console/graphiql.js",
        content_type: JAVASCRIPT,
        body: include_str!("console/graphiql.js"),
    },
    Asset {
        path: "/console/transport.js",
        content_type: JAVASCRIPT,
        body: include_str!("console/transport.js"),
    },
];

/// The console is shown at the address of the interface itself, to browsers.
const CONSOLE: Asset =
    Asset { path: "/graphql", content_type: HTML, body: include_str!("console/console.html") };

/// The addresses of all files.
pub fn router() -> Router<Arc<App>> {
    ASSETS.iter().fold(Router::new(), |router, asset| router.route(asset.path, get(async || serve(asset))))
}

/// What the console may load on top of the general policy: `GraphiQL`, whose files its page pins by their digest.
const CONSOLE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self' https://unpkg.com; style-src 'self' 'unsafe-inline' https://unpkg.com; \
     img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// The console.
#[must_use]
pub fn console() -> Response {
    let mut response = serve(&CONSOLE);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CONSOLE_POLICY);
    response
}

/// A new gateway brings new files under the same names, so browsers ask each time.
fn serve(asset: &'static Asset) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, asset.body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).unwrap();
        for file in files.map(|file| file.unwrap().file_name().into_string().unwrap()) {
            let path = if file == "index.html" { "/".to_owned() } else { format!("/{file}") };
            assert!(ASSETS.iter().any(|asset| asset.path == path), "{path} is not in the table");
        }
    }
}
