//! Column names in their camelCase spelling at the JSON border.
//!
//! `unit_price` in SQL is `unitPrice` in a payload. An underscore joins two words only when it stands between
//! something and a lower-case ASCII letter; every other underscore is part of the name and stays. This makes the
//! spelling reversible for every name without upper-case letters: `a__b` is `a_B`, `_x` is `_x`, `line_2` is
//! `line_2`. The way back is the extension's `quote_field_name()`.

/// The camelCase spelling of a column name.
#[must_use]
pub fn camel_case(column: &str) -> String {
    let mut spelled = String::with_capacity(column.len());
    let mut letters = column.chars().peekable();
    while let Some(letter) = letters.next() {
        let joins = letter == '_' && !spelled.is_empty();
        match letters.next_if(|next| joins && next.is_ascii_lowercase()) {
            Some(next) => spelled.push(next.to_ascii_uppercase()),
            None => spelled.push(letter),
        }
    }
    spelled
}

/// How a column is called at the JSON border: in camelCase, or as it is named where another column of its table has that name.
#[must_use]
pub fn spelling(column: &str, is_column: impl FnOnce(&str) -> bool) -> String {
    let spelled = camel_case(column);
    if spelled != column && is_column(&spelled) { column.to_owned() } else { spelled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_columns_are_called_the_same() {
        let columns = ["updated_by", "updatedBy", "a__b", "a_B", "unit_price"];
        let spelled = columns.map(|column| spelling(column, |name| columns.contains(&name)));
        assert_eq!(spelled, ["updated_by", "updatedBy", "a__b", "a_B", "unitPrice"]);
    }

    #[test]
    fn known_names_have_the_spelling_of_the_old_front_end() {
        let cases = [
            ("notes", "notes"),
            ("unit_price", "unitPrice"),
            ("terms_and_conditions", "termsAndConditions"),
            ("converted_to_sales_order_id", "convertedToSalesOrderId"),
            ("a__b", "a_B"),
            ("_x", "_x"),
            ("__x_y", "_XY"),
            ("line_2", "line_2"),
            ("line_2_total", "line_2Total"),
            ("a_", "a_"),
            ("a__", "a__"),
            ("", ""),
            ("_", "_"),
            ("größe_in_mm", "größeInMm"),
            ("*", "*"),
        ];
        for (column, spelled) in cases {
            assert_eq!(camel_case(column), spelled, "{column}");
        }
    }
}
