-- Who may do what in the ERP before quote collaboration is attached; attach copies these privileges to what it creates.
grant usage on schema public to erp_app, quote_gateway;
grant select, insert, update, delete on tenants, users, customers, products, quotes, quote_lines to erp_app;
grant select on tenants, users, customers, products to quote_gateway;
grant select, insert, update, delete on quotes, quote_lines to quote_gateway;
