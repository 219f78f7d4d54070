-- The roles of the ERP. They belong to the cluster, so a second database finds them in place.
do $$
begin
    if to_regrole('erp_owner') is null then
        create role erp_owner nologin;
    end if;
    if to_regrole('erp_app') is null then
        create role erp_app login;
    end if;
    if to_regrole('quote_gateway') is null then
        create role quote_gateway login;
    end if;
end $$;

comment on role erp_owner is 'owns the tables of the ERP; nobody logs in as it';
comment on role erp_app is 'the ERP itself: its application server and its nightly batches';
comment on role quote_gateway is 'the quote gateway: reads the ERP, saves quotes on behalf of a user';

grant create, usage on schema public to erp_owner;
