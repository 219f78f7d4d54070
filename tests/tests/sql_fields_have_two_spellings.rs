//! What the gateway spells in camelCase, a save finds again.

use quote_collab_core::naming::camel_case;
use quote_collab_tests::Erp;

/// Every name of up to five of these letters.
fn short_names() -> Vec<String> {
    let mut names = vec![String::new()];
    let mut last = names.clone();
    for _ in 0..5 {
        last = last
            .iter()
            .flat_map(|name| "az_09ß$".chars().map(move |letter| format!("{name}{letter}")))
            .collect();
        names.extend(last.iter().cloned());
    }
    names
}

#[tokio::test]
async fn every_spelling_leads_back_to_its_column() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let names = short_names();
    let spelled: Vec<String> = names.iter().map(|name| camel_case(name)).collect();
    let wrong = "select n.name, n.spelled, quote_field_name(n.spelled) from unnest($1::text[], $2::text[]) n (name, spelled)
        where quote_field_name(n.spelled) <> n.name or quote_field_name(n.name) <> n.name";
    let wrong = admin.query(wrong, &[&names, &spelled]).await.unwrap();
    assert!(wrong.is_empty(), "{} of {}, first {:?}", wrong.len(), names.len(), wrong.first());
}

#[tokio::test]
async fn a_field_with_a_word_of_one_letter_is_saved() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("alter table quotes add column is_a_draft boolean").await.unwrap();
    let spelled = camel_case("is_a_draft");
    let save = format!(
        "select (update_quote_with_version_check(id, version, '{{\"{spelled}\": true}}')).success from quotes limit 1"
    );
    assert!(admin.query_one(&save, &[]).await.unwrap().get::<_, bool>(0));
}
