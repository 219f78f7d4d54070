-- Two tenants, their users and customers. The ids are fixed: documentation and tests name them.
set role erp_owner;

insert into tenants (id, tenant_code, tenant_name, created_at) values
    ('a0000000-0000-4000-8000-000000000001', 'NORTH', 'Northlight Print Works', '2024-01-02 08:00:00+00'),
    ('b0000000-0000-4000-8000-000000000002', 'HARBOR', 'Harbor Street Press', '2024-01-02 08:00:00+00');

-- alice and bob work for the first tenant, carol for the second; the others alternate in blocks of ten.
insert into users (id, tenant_id, username, email, full_name, created_at)
select
    case n
        when 1 then 'a11ce000-0000-4000-8000-000000000001'::uuid
        when 2 then 'b0b00000-0000-4000-8000-000000000002'::uuid
        when 11 then 'ca401000-0000-4000-8000-000000000003'::uuid
        else md5('user ' || n)::uuid
    end,
    t.id,
    lower(split_part(p.name, ' ', 1)),
    lower(replace(p.name, ' ', '.')) || case t.tenant_code when 'NORTH' then '@northlight.example' else '@harborstreet.example' end,
    p.name,
    timestamptz '2024-01-08 08:00:00+00' + n * interval '1 day'
from unnest(array[
    'Alice Moreau', 'Bob Lindqvist', 'Deepa Nair', 'Emil Kowalski', 'Farah Haddad',
    'Gordon Blythe', 'Hana Sato', 'Ines Carvalho', 'Jonas Weber', 'Keiko Tanaka',
    'Carol Whitfield', 'Liam Doyle', 'Mina Petrova', 'Noor Aziz', 'Otis Freeman',
    'Paula Jimenez', 'Quentin Rault', 'Rosa Bianchi', 'Samir Khan', 'Tilda Berg'
]) with ordinality p (name, n)
join tenants t on t.tenant_code = case when n <= 10 then 'NORTH' else 'HARBOR' end;

insert into customers (id, tenant_id, customer_code, customer_name, city, contact_name, contact_email, created_at)
select
    md5('customer ' || n)::uuid,
    t.id,
    'C' || to_char(1000 + n, 'FM0000'),
    c.name,
    (array['Portland', 'Leeds', 'Ghent', 'Malmö', 'Lyon', 'Utrecht', 'Cork', 'Graz'])[1 + n % 8],
    c.contact,
    lower(replace(c.contact, ' ', '.')) || '@' || lower(regexp_replace(c.name, '[^A-Za-z]+', '', 'g')) || '.example',
    timestamptz '2024-02-01 08:00:00+00' + n * interval '6 hours'
from unnest(
    array[
        'Bluebird Bakery', 'Cedar & Sons Furniture', 'City Museum of Design', 'Delta Pharma', 'Eastgate Theatre', 'Fernhill Winery',
        'Granite Bank', 'Halcyon Travel', 'Ironbridge Brewing', 'Juniper Cosmetics', 'Kestrel Outdoor', 'Larkspur Publishing',
        'Meridian Airlines', 'Novak Engineering', 'Old Mill Coffee', 'Pinecrest School', 'Quayside Hotel', 'Riverside Clinic',
        'Saffron Kitchen', 'Thornbury Auctions', 'Union Credit', 'Vega Electronics', 'Westfield Orchards', 'Yarrow Gardens'
    ],
    array[
        'Ada Finch', 'Bram Peeters', 'Cleo Marsh', 'Dario Conti', 'Edith Vance', 'Felix Arnaud', 'Greta Holm', 'Hugo Brandt',
        'Isla Reid', 'Jules Fabre', 'Karin Olsen', 'Leo Hartmann', 'Maya Osei', 'Nils Aaltonen', 'Olga Weiss', 'Piet Jansen',
        'Rhea Kapoor', 'Stefan Lang', 'Tess Nolan', 'Umar Siddiq', 'Vera Novotna', 'Wim de Boer', 'Xenia Pappas', 'Yusuf Demir'
    ]
) with ordinality c (name, contact, n)
join tenants t on t.tenant_code = case when n % 2 = 1 then 'NORTH' else 'HARBOR' end;

reset role;
