-- What the server itself remembers of the chain of seals, out of reach of the log's owner: he may write every table of the home,
-- but not this one. A member of the extension, and in every dump.
create table @extschema@.quote_seal_anchor (
    log_schema  name   not null,
    no          bigint not null,
    hash        bytea  not null,
    signed_from bigint,
    settled_in  oid,
    constraint quote_seal_anchor_pkey primary key (log_schema)
);

select pg_catalog.pg_extension_config_dump('@extschema@.quote_seal_anchor', '');

comment on table @extschema@.quote_seal_anchor is 'the block that was sealed last; stays where it is once the chain was changed by others';
comment on column @extschema@.quote_seal_anchor.log_schema is 'schema of the audit log';
comment on column @extschema@.quote_seal_anchor.no is 'number of the block';
comment on column @extschema@.quote_seal_anchor.hash is 'hash of the block';
comment on column @extschema@.quote_seal_anchor.signed_from is 'number of the first block that was signed; null while none was';
comment on column @extschema@.quote_seal_anchor.settled_in is 'this table, once this server has sealed what came along of other clusters: in a restored dump it is another';
comment on constraint quote_seal_anchor_pkey on @extschema@.quote_seal_anchor is 'a log has one chain';

-- Or the log's owner could not dump his database.
grant select on @extschema@.quote_seal_anchor to public;

-- Takes the newest block for the anchor where there is none yet: the first seal of a chain, or of this release. A chain that holds
-- nothing and has no anchor was begun here: no other cluster left anything.
create function begin_quote_seal_anchor(newest_no bigint, newest_hash bytea) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    home name := @extschema@.quote_collab_home();
    signed_from bigint;
begin
    if not exists (select from @extschema@.quote_seal_anchor a where a.log_schema = home) then
        execute format('select min(s.no) from %I.quote_changes_seals s where s.signature is not null', home) into signed_from;
        insert into @extschema@.quote_seal_anchor values (home, newest_no, newest_hash, signed_from,
            case when newest_no = 0 then '@extschema@.quote_seal_anchor'::regclass::oid end);
    end if;
end $$;
comment on function begin_quote_seal_anchor(bigint, bytea) is 'anchors a chain of seals that has no anchor yet';
revoke execute on function begin_quote_seal_anchor(bigint, bytea) from public;

-- Moves the anchor from a block to the one that was sealed on top of it. Where the chain does not end with the anchor any more, it
-- stays: what others did to the chain remains to be found, however much is sealed above.
create function move_quote_seal_anchor(before_hash bytea, no bigint, hash bytea, signed boolean) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update @extschema@.quote_seal_anchor a set no = move_quote_seal_anchor.no, hash = move_quote_seal_anchor.hash,
        signed_from = coalesce(a.signed_from, case when signed then move_quote_seal_anchor.no end)
    where a.log_schema = @extschema@.quote_collab_home() and a.no = move_quote_seal_anchor.no - 1 and a.hash = before_hash
$$;
comment on function move_quote_seal_anchor(bytea, bigint, bytea, boolean) is 'moves the anchor to the block that was sealed on top of it';
revoke execute on function move_quote_seal_anchor(bytea, bigint, bytea, boolean) from public;
