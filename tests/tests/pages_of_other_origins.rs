//! Which page may call is one question, over HTTP as over a socket.

use quote_collab_tests::{Gateway, World, node, talk};

/// What a browser is told before it sends a token from this origin: the origin it may, if any.
async fn preflight(gateway: &Gateway, host: &str, origin: &str) -> Option<String> {
    let head = format!(
        "OPTIONS /graphql HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
    );
    let answer = talk(gateway, &[head.as_bytes()]).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    let allowed = answer.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: "))?;
    assert!(answer.contains("access-control-allow-headers: authorization, content-type"), "{answer}");
    Some(allowed.to_owned())
}

async fn opens(gateway: &Gateway, origin: &str) -> bool {
    let url = gateway.web_socket_url();
    let args = ["--url", &url, "--protocol", "graphql-transport-ws", "--origin", origin];
    node("socket.mjs", &args, &[]).next().await["type"] == "open"
}

#[tokio::test]
async fn http_and_sockets_allow_the_same_pages() {
    let mut world = World::embedded().await;
    let listed = [("ALLOWED_ORIGINS", "https://erp.example")];
    world.gateway = Gateway::start_with(&world.postgres, "erp", None, &listed).await;
    let host = world.gateway.url().replace("http://", "");
    for (origin, allowed) in [
        ("http://127.0.0.1:5173", true),
        ("https://127.0.0.1", true),
        ("https://erp.example", true),
        ("https://evil.example", false),
        ("https://127.0.0.1.evil.example", false),
        ("null", false),
    ] {
        let told = preflight(&world.gateway, &host, origin).await;
        assert_eq!(told.as_deref(), allowed.then_some(origin), "{origin}");
        assert_eq!(opens(&world.gateway, origin).await, allowed, "{origin}");
    }
}
