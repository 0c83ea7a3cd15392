//! Queries as clients write them, and what becomes of them.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use sqlx::{QueryBuilder, Sqlite};

use super::{CONFIG, TRAFFIC, parse};

fn check(query: &str, expected: Expect) {
    let answer = match parse(query, TRAFFIC) {
        Ok(filter) => {
            let mut sql = QueryBuilder::<Sqlite>::new("");
            filter.push_to(&mut sql);
            sql.sql().as_str().to_owned()
        }
        Err(error) => error,
    };
    expected.assert_eq(&answer);
}

#[test]
fn queries_become_conditions_with_bound_values() {
    check("", expect!["1"]);
    check("(addr.src in 10.0.0.0/8)", expect!["(source_key BETWEEN ? AND ?)"]);
    check(
        "( addr in 10.1.1.1 ) and ( port.dst eq 443 )",
        expect!["(((source_key BETWEEN ? AND ?) OR (destination_key BETWEEN ? AND ?)) AND (destination_port = ?))"],
    );
    check("(rule eq 'allow web') or not (action neq allow)", expect!["((rule = ?) OR NOT (action <> ?))"]);
    check("receive_time geq '2026/11/22 08:00:00'", expect!["(received_us >= ?)"]);
    check("(zone neq trust)", expect!["((from_zone <> ?) AND (to_zone <> ?))"]);
    check("(rule contains \"it\\\"s\")", expect!["(instr(rule, ?) > 0)"]);
    check("proto eq tcp", expect!["(protocol = ?)"]);
}

#[test]
fn a_query_that_cannot_be_read_is_refused_with_its_place() {
    check(
        "(adr.src in 10.0.0.1)",
        expect![
            "the query cannot be read at character 2: `adr.src` is not a field of this log; did you mean `addr.src`?"
        ],
    );
    check(
        "(addr.src in 10.0.0.0/33)",
        expect![
            "the query cannot be read at character 14: `10.0.0.0/33` is not an address or a prefix such as `10.0.0.0/8`"
        ],
    );
    check(
        "(port.dst contains 4)",
        expect![
            "the query cannot be read at character 11: `contains` does not fit this field: write `eq`, `neq`, `leq` or `geq`"
        ],
    );
    check("(rule eq 'a", expect!["the query cannot be read at character 10: the quote is not closed"]);
    check("(rule eq a", expect!["the query cannot be read at character 11: `)` is missing"]);
    check(
        "(rule eq a) (rule eq b)",
        expect!["the query cannot be read at character 13: `(` is not expected here; join with `and` or `or`"],
    );
    check("rule eq", expect!["the query cannot be read at character 8: a value is missing"]);
    check(&"(".repeat(1000), expect!["the query cannot be read at character 66: nested deeper than 64"]);
}

#[test]
fn the_config_log_has_fields_of_its_own() {
    assert!(parse("( cmd eq delete ) and (admin neq bob)", CONFIG).is_ok());
    assert!(parse("( sessionid eq 1 )", CONFIG).is_err());
}

proptest! {
    #[test]
    fn no_query_panics(query in "[ ()a-z'\"\\\\!.=0-9/:]{0,80}") {
        let _ = parse(&query, TRAFFIC);
    }
}
