-- 200 quotes with five lines each. Every choice is taken from a digest of the row's number, so that each machine
-- has the same rows; totals follow from the lines.
set role erp_owner;
set timezone = 'UTC';

-- A number from 0 to size - 1, the same for the same seed on every machine.
create function pg_temp.pick(seed text, size integer) returns integer
language sql immutable
as $$ select (('x' || substr(md5(seed), 1, 7))::bit(28)::integer) % size $$;

insert into quotes (
    id, tenant_id, facility_id, quote_number, quote_date, expiration_date, customer_id, contact_name, contact_email,
    sales_rep_user_id, shipping_amount, discount_amount, status, notes, terms_and_conditions,
    created_at, created_by, updated_at, updated_by
)
select
    md5('quote ' || n)::uuid, t.id, md5('facility ' || t.tenant_code)::uuid,
    'Q-2026-' || to_char(n, 'FM00000'),
    d.quoted_on, d.quoted_on + 30, c.id, c.contact_name, c.contact_email, u.id,
    (array[0, 0, 18.5, 42, 96])[1 + pg_temp.pick('shipping ' || n, 5)], 0,
    -- The first quote of each tenant is a draft, the usual state of one that several people edit.
    case when n <= 2 then 'DRAFT'
        else (array['DRAFT', 'DRAFT', 'ISSUED', 'ISSUED', 'ACCEPTED', 'REJECTED', 'EXPIRED'])[1 + pg_temp.pick('status ' || n, 7)]
    end,
    (array[
        'Customer supplies print-ready PDF/X-4.',
        'Same colours as last year, Pantone 2766 for the logo.',
        'Two deliveries: half to the warehouse, half to the trade fair.',
        'Proof to be signed before plates are made.',
        null
    ])[1 + pg_temp.pick('notes ' || n, 5)],
    (array[
        'Payment within 30 days. Over- or under-delivery of 5 % is customary.',
        'Payment in advance. Prices valid for paper ordered before the expiration date.'
    ])[1 + pg_temp.pick('terms ' || n, 2)],
    d.quoted_on + time '09:00' + pg_temp.pick('minute ' || n, 480) * interval '1 minute', u.id,
    d.quoted_on + time '09:00' + pg_temp.pick('minute ' || n, 480) * interval '1 minute', u.id
from generate_series(1, 200) n
cross join lateral (select date '2026-01-05' + pg_temp.pick('date ' || n, 300) as quoted_on) d
join tenants t on t.tenant_code = case when n % 2 = 1 then 'NORTH' else 'HARBOR' end
cross join lateral (
    select x.* from customers x where x.tenant_id = t.id
    order by x.customer_code offset pg_temp.pick('customer ' || n, 12) limit 1
) c
cross join lateral (
    select x.id from users x where x.tenant_id = t.id
    order by x.username offset pg_temp.pick('rep ' || n, 10) limit 1
) u;

-- Neighbouring lines differ: 24 products, taken five steps apart from a start that depends on the quote.
insert into quote_lines (
    id, tenant_id, quote_id, line_number, product_id, product_code, description, quantity, unit_of_measure, unit_price,
    line_amount, unit_cost, line_cost, line_margin, margin_percentage,
    manufacturing_strategy, lead_time_days, promised_delivery_date, created_at, updated_at
)
select
    md5('line ' || q.quote_number || l.line_number)::uuid, q.tenant_id, q.id, l.line_number, p.id, p.product_code, p.product_name,
    a.quantity, p.unit_of_measure, p.base_price,
    a.quantity * p.base_price, p.base_cost, a.quantity * p.base_cost,
    a.quantity * (p.base_price - p.base_cost), round(100 * (p.base_price - p.base_cost) / p.base_price, 4),
    p.manufacturing_strategy, p.lead_time_days, q.quote_date + 7 + p.lead_time_days, q.created_at, q.updated_at
from quotes q
cross join generate_series(1, 5) l (line_number)
cross join lateral (
    select x.* from products x where x.tenant_id = q.tenant_id
    order by x.product_code collate "C" offset (pg_temp.pick('product ' || q.quote_number, 24) + 5 * l.line_number) % 24 limit 1
) p
cross join lateral (
    select greatest(1, p.usual_quantity * (array[1, 1, 2, 3, 4])[1 + pg_temp.pick(q.quote_number || l.line_number, 5)] / 2)::numeric
        as quantity
) a;

update quotes q
set subtotal = s.amount,
    tax_amount = round(s.amount * 0.08, 2),
    total_amount = s.amount + round(s.amount * 0.08, 2) + q.shipping_amount - q.discount_amount,
    total_cost = s.cost,
    margin_amount = s.amount - s.cost,
    margin_percentage = round(100 * (s.amount - s.cost) / s.amount, 4)
from (select quote_id, sum(line_amount) as amount, sum(line_cost) as cost from quote_lines group by quote_id) s
where s.quote_id = q.id;

drop function pg_temp.pick(text, integer);
reset role;
reset timezone;
analyze;
