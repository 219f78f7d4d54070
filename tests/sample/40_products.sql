-- The same catalogue for both shops, the second one a little dearer. Prices are per unit_of_measure.
set role erp_owner;

insert into products (
    id, tenant_id, product_code, product_name, unit_of_measure,
    base_price, base_cost, usual_quantity, manufacturing_strategy, lead_time_days, created_at
)
select
    md5('product ' || t.tenant_code || p.code)::uuid,
    t.id, p.code, p.name, p.unit,
    round(p.price * case t.tenant_code when 'NORTH' then 1 else 1.06 end, 4),
    round(p.price * p.cost_share, 4),
    p.quantity, p.strategy, p.lead_time, '2024-01-15 08:00:00+00'
from tenants t
cross join (values
    ('OFF-BRO-A4', 'Brochure A4, 16 pp, offset 4/4, 135 g silk, saddle stitched', 'EACH', 0.8450, 0.62, 5000, 'MAKE_TO_ORDER', 9),
    ('OFF-CAT-A4', 'Catalogue A4, 96 pp, offset 4/4, 115 g silk, 300 g cover, perfect bound', 'EACH', 3.7200, 0.66, 2500, 'MAKE_TO_ORDER', 14),
    ('OFF-FLY-A5', 'Flyer A5, offset 4/4, 170 g gloss', 'EACH', 0.0385, 0.58, 10000, 'MAKE_TO_ORDER', 5),
    ('OFF-POS-A2', 'Poster A2, offset 4/0, 150 g gloss', 'EACH', 0.4150, 0.60, 1000, 'MAKE_TO_ORDER', 6),
    ('OFF-LET-A4', 'Letterhead A4, offset 2/0, 90 g uncoated laid', 'EACH', 0.0620, 0.55, 5000, 'MAKE_TO_ORDER', 6),
    ('OFF-FOL-A4', 'Presentation folder A4, offset 4/0, 350 g board, one glued pocket', 'EACH', 1.1800, 0.64, 1000, 'MAKE_TO_ORDER', 10),
    ('DIG-BCD-85', 'Business cards 85 × 55 mm, digital 4/4, 400 g cotton', 'BOX', 38.5000, 0.48, 12, 'MAKE_TO_ORDER', 3),
    ('DIG-PHB-21', 'Photo book 21 × 21 cm, digital 4/4, 200 g silk, hard cover', 'EACH', 24.9000, 0.57, 40, 'MAKE_TO_ORDER', 7),
    ('DIG-VDM-DL', 'Personalised mailing DL, digital 4/4, 250 g uncoated, variable data', 'EACH', 0.2950, 0.52, 4000, 'MAKE_TO_ORDER', 5),
    ('DIG-MEN-A3', 'Menu A3 folded to A4, digital 4/4, 300 g synthetic, wipeable', 'EACH', 4.6500, 0.54, 120, 'MAKE_TO_ORDER', 4),
    ('WID-BAN-2M', 'Roll-up banner 85 × 200 cm, wide format, cassette included', 'EACH', 89.0000, 0.51, 6, 'MAKE_TO_ORDER', 3),
    ('WID-WIN-M2', 'Window film, wide format, white ink, contour cut', 'M2', 46.0000, 0.56, 18, 'MAKE_TO_ORDER', 5),
    ('PAP-SLK-135', 'Paper stock 135 g silk, 70 × 100 cm', 'SHEET', 0.1420, 0.82, 8000, 'MAKE_TO_STOCK', 2),
    ('PAP-UNC-090', 'Paper stock 90 g uncoated, 63 × 88 cm', 'SHEET', 0.0790, 0.84, 12000, 'MAKE_TO_STOCK', 2),
    ('PAP-GCB-350', 'Folding board 350 g GC1, 72 × 102 cm', 'SHEET', 0.3860, 0.80, 3000, 'MAKE_TO_STOCK', 4),
    ('FIN-FLD-ZIG', 'Folding, zigzag, six panels', '1000', 18.4000, 0.47, 10, 'MAKE_TO_ORDER', 1),
    ('FIN-LAM-MAT', 'Lamination, matt film, one side', 'M2', 0.6800, 0.53, 900, 'MAKE_TO_ORDER', 2),
    ('FIN-LAM-SFT', 'Lamination, soft touch, both sides', 'M2', 1.5400, 0.55, 600, 'MAKE_TO_ORDER', 2),
    ('FIN-UVS-SPT', 'Spot UV varnish', 'M2', 1.1200, 0.50, 500, 'MAKE_TO_ORDER', 2),
    ('FIN-FOI-GLD', 'Hot foil stamping, gold, up to 50 cm²', 'EACH', 0.1750, 0.49, 2000, 'MAKE_TO_ORDER', 3),
    ('FIN-DIE-CUT', 'Die cutting and stripping', '1000', 42.0000, 0.52, 5, 'MAKE_TO_ORDER', 2),
    ('FIN-BND-PUR', 'Perfect binding, PUR glue', '1000', 310.0000, 0.58, 3, 'MAKE_TO_ORDER', 3),
    ('SRV-PRE-HOU', 'Prepress: data check, imposition, proof', 'HOUR', 68.0000, 0.60, 3, 'SERVICE', 1),
    ('SRV-DLV-PAL', 'Delivery, one pallet, tail lift', 'PALLET', 74.0000, 0.78, 2, 'SERVICE', 1)
) p (code, name, unit, price, cost_share, quantity, strategy, lead_time);

reset role;
