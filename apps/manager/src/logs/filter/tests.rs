//! Queries as clients write them, and what becomes of them.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{CONFIG, TRAFFIC, parse};
use crate::store::db::sql;

fn check(query: &str, expected: Expect) {
    let answer = match parse(query, TRAFFIC) {
        Ok(filter) => {
            let mut sql = sql("");
            filter.push_to(&mut sql);
            sql.text().to_owned()
        }
        Err(error) => error,
    };
    expected.assert_eq(&answer);
}

#[test]
fn queries_become_conditions_with_bound_values() {
    check("", expect!["TRUE"]);
    check("(addr.src in 10.0.0.0/8)", expect!["(source_key BETWEEN $1 AND $2)"]);
    check(
        "( addr in 10.1.1.1 ) and ( port.dst eq 443 )",
        expect![
            "(((source_key BETWEEN $1 AND $2) OR (destination_key BETWEEN $3 AND $4)) AND (destination_port = $5))"
        ],
    );
    check("(rule eq 'allow web') or not (action neq allow)", expect!["((rule = $1) OR NOT (action <> $2))"]);
    check("receive_time geq '2026/11/22 08:00:00'", expect!["(received_us >= $1)"]);
    check("(zone neq trust)", expect!["((from_zone <> $1) AND (to_zone <> $2))"]);
    check("(rule contains \"it\\\"s\")", expect!["(instr(rule, $1) > 0)"]);
    check("proto eq tcp", expect!["(protocol = $1)"]);
    check("(tag.src contains ns_shop)", expect!["(instr(source_tags, $1) > 0)"]);
    check(
        "(tag neq web)",
        expect!["((instr(',' || source_tags || ',', $1) = 0) AND (instr(',' || destination_tags || ',', $2) = 0))"],
    );
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
