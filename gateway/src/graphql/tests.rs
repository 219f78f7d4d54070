use super::*;

#[test]
fn the_schema_has_the_names_that_front_ends_call() {
    let sdl = sdl();
    for line in [
        "quoteChanged(quoteId: ID!, after: String): QuoteChangedEvent!",
        "quoteLineChanged(quoteId: ID!, after: String): QuoteLineChangedEvent!",
        "presenceUpdated(quoteId: ID!): PresenceEvent!",
        "getActiveQuoteSessions(quoteId: ID!): [ActiveSession!]!",
        "getQuoteChangeHistory(quoteId: ID!, limit: Int): [QuoteChangeRecord!]!",
        "hasQuoteBeenUpdated(quoteId: ID!, sinceVersion: Int!): Boolean!",
        "updateQuoteWithVersionCheck(input: VersionedQuoteUpdateInput!): QuoteCollaborationResult!",
        "updateQuoteLineWithVersionCheck(input: VersionedQuoteLineUpdateInput!): QuoteLineCollaborationResult!",
        "joinQuoteSession(input: JoinQuoteSessionInput!): ActiveSession!",
        "leaveQuoteSession(sessionId: ID!): Boolean!",
        "updateSessionHeartbeat(input: UpdateSessionHeartbeatInput!): Boolean!",
        "cursor: String!",
        "changes: [FieldChange!]!",
        "conflicts: [QuoteConflict!]!",
        "scalar JSON",
        "scalar DateTime",
    ] {
        assert!(sdl.contains(line), "{line} is missing in\n{sdl}");
    }
    assert!(!sdl.contains("AnyEvent"), "only our own code is to know what events have in common");
}

#[tokio::test]
async fn requests_are_limited_and_guesses_get_no_suggestion() {
    let schema = builder().finish();
    let refusal = async |query: String| {
        let response = with_codes(schema.execute(query).await);
        assert!(is_request_error(&response), "{response:?}");
        assert_eq!(code(&response.errors[0]), Some("BAD_USER_INPUT"));
        response.errors[0].message.clone()
    };
    assert!(!refusal("{ quot }".to_owned()).await.contains("Did you mean"));
    let deep = (0..30).fold("name".to_owned(), |inner, _| format!("ofType {{ {inner} }}"));
    refusal(format!("{{ __schema {{ types {{ {deep} }} }} }}")).await;
    let wide: Vec<String> = (0..2_000).map(|alias| format!("a{alias}: quotes")).collect();
    refusal(format!("{{ {} }}", wide.join(" "))).await;
}

#[tokio::test]
async fn without_a_token_nothing_is_resolved() {
    let response = builder().finish().execute("{ quotes }").await;
    assert!(!response.errors.is_empty());
    assert!(!is_request_error(&response));
}
