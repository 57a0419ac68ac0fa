-- The records that the join needs, from the log itself.
create temp table record as
select *
from read_json(
    ?,
    format = 'newline_delimited',
    maximum_object_size = 16777216,
    columns = {
        type: 'VARCHAR', id: 'UBIGINT', failure: 'UBIGINT', fs: 'VARCHAR', kind: 'VARCHAR',
        dev: 'VARCHAR', root: 'UBIGINT', ino: 'UBIGINT', tid: 'UINTEGER',
        pos: 'UBIGINT', len: 'UBIGINT', "index": 'UBIGINT', pages: 'UINTEGER',
        folio_flags: 'VARCHAR[]',
        entered_ns: 'UBIGINT', ts_ns: 'UBIGINT', locked_ns: 'UBIGINT', unlocked_ns: 'UBIGINT'
    }
)
where type in ('failure', 'refusal', 'holder');
