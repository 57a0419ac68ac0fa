-- Each refusal of a clean folio on btrfs, with every holder of the same inode, of another thread,
-- whose range overlaps the folio and whose lock contains the moments of the refusal.
with asked as (
    select
        f.id as failure, f.dev, coalesce(f.root, 0) as root, f.ino, f.tid,
        r."index" * 4096 as first, (r."index" + r.pages) * 4096 as beyond,
        r.entered_ns, r.ts_ns
    from record f
    join record r on r.type = 'refusal' and r.failure = f.id
    where f.type = 'failure'
        and f.fs = 'btrfs'
        and r.entered_ns is not null
        and not list_has_any(r.folio_flags, ['dirty', 'writeback'])
),
held as (
    select
        id, dev, coalesce(root, 0) as root, ino, tid,
        pos as first, pos + len as beyond, locked_ns, unlocked_ns
    from record
    where type = 'holder' and locked_ns is not null and unlocked_ns is not null
),
pair as (
    select a.failure, h.id, h.locked_ns
    from asked a
    join held h
        on h.dev = a.dev and h.root = a.root and h.ino = a.ino
        and h.tid <> a.tid
        and h.first < a.beyond and a.first < h.beyond
        and h.locked_ns <= a.entered_ns and a.ts_ns <= h.unlocked_ns
),
earliest as (
    select failure, count(*) as pairs, arg_min(id, locked_ns) as holder
    from pair
    group by failure
)
select
    coalesce(sum(pairs), 0)::UBIGINT, count(*)::UBIGINT, coalesce(sum(holder), 0)::UBIGINT
from earliest;
