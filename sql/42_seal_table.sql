-- The first block holds nothing, and its hash says since when the chain is kept and where it began. Where there is a block already, nothing is begun: also
-- where a dump without data brought the table there is none.
create function begin_quote_changes_seals(target_schema name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- An anchor that holds on to nothing but the beginning follows it.
    execute format('with begun as (insert into %1$I.quote_changes_seals (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root, hash, sealed_at, form)
        select b.*, @extschema@.quote_seal_hash(sha256(convert_to(''quote_changes'', ''UTF8'')), b.no, b.prev, b.cur, b.floor_at, b.prev_at, b.cur_at, b.origin,
            b.rows, b.root, n.sealed_at, 2::smallint), n.sealed_at, 2
        from (select 0::bigint, ''3:3:''::pg_snapshot, ''3:3:''::pg_snapshot, ''-infinity''::timestamptz, ''-infinity''::timestamptz, ''-infinity''::timestamptz,
            @extschema@.quote_cluster_identifier(), 0::bigint, sha256('''')) b (no, prev, cur, floor_at, prev_at, cur_at, origin, rows, root)
        cross join (select clock_timestamp()) n (sealed_at)
        where not exists (select from %1$I.quote_changes_seals) returning hash)
        update @extschema@.quote_seal_anchor a set hash = b.hash from begun b where a.log_schema = %1$L and a.no = 0', target_schema);
end $$;
comment on function begin_quote_changes_seals(name) is 'begins a chain of seals with its first block';

-- Seals of the audit log: a chain of blocks, each over what became visible since the one before. Private to the owner.
create function create_quote_changes_seals(target_schema name, target_owner name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seals text := format('%I.quote_changes_seals', target_schema);
    item record;
begin
    if @extschema@.quote_relation_stands(seals, 'r'::"char", target_owner) then
        perform @extschema@.begin_quote_changes_seals(target_schema);
        return;
    end if;
    execute format($ddl$
        create table %s (
            no        bigint      not null,
            prev      pg_snapshot not null,
            cur       pg_snapshot not null,
            floor_at  timestamptz not null,
            prev_at   timestamptz not null,
            cur_at    timestamptz not null,
            origin    bigint      not null,
            rows      bigint      not null,
            root      bytea       not null,
            hash      bytea       not null,
            sealed_at timestamptz not null,
            form      smallint    not null,
            signature bytea,
            signed_by bytea,
            released  jsonb,
            constraint quote_changes_seals_pkey primary key (no)
        )$ddl$, seals);
    for item in select * from (values
        ('no', 'number of the block, without gaps; 0 begins the chain'),
        ('prev', 'the block holds what was not visible in this snapshot'),
        ('cur', 'and is visible in this one'),
        ('floor_at', 'no change of this or a later block was made before, save for steps of the clock'),
        ('prev_at', 'when prev was taken'),
        ('cur_at', 'when cur was taken'),
        ('origin', 'system identifier of the cluster whose transactions the snapshots speak of'),
        ('rows', 'how many rows of quote_changes'),
        ('root', 'SHA-256 over its rows, as quote_block_query() has it'),
        ('hash', 'SHA-256 over the hash of the block before and all of this block'),
        ('sealed_at', 'when the block was made'),
        ('form', 'how its rows are hashed: 1 as 0.2.0 did, 2 by quote_changes_digest()'),
        ('signature', 'Ed25519 signature of the hash; null when no key was configured'),
        ('signed_by', 'public key that it holds under'),
        ('released', 'in a block that lets rows go: how many, blocks of which none is left, rows and root of what is left of others')
    ) as c (name, text) loop
        execute format('comment on column %s.%I is %L', seals, item.name, item.text);
    end loop;
    execute format('comment on table %s is %L', seals, @extschema@.quote_table_comment('quote_changes_seals'::name));
    perform @extschema@.begin_quote_changes_seals(target_schema);
    execute format('alter table %s owner to %I', seals, target_owner);
    perform @extschema@.close_quote_table(seals::regclass);
    perform @extschema@.seclude_quote_table(seals::regclass);
end $$;
comment on function create_quote_changes_seals(name, name) is 'creates the chain of seals beside an audit log';
