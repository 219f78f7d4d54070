-- The tables of a print-shop ERP as they are before quote collaboration is attached to them.
set role erp_owner;

create table tenants (
    id          uuid         not null,
    tenant_code varchar(20)  not null,
    tenant_name varchar(255) not null,
    created_at  timestamptz  not null default now(),
    constraint tenants_pkey primary key (id),
    constraint tenants_code_key unique (tenant_code)
);
comment on table tenants is 'one print shop per row; nothing of one is ever shown to another';

create table users (
    id         uuid         not null,
    tenant_id  uuid         not null,
    username   varchar(100) not null,
    email      varchar(255) not null,
    full_name  varchar(255) not null,
    is_active  boolean      not null default true,
    created_at timestamptz  not null default now(),
    constraint users_pkey primary key (id),
    constraint users_username_key unique (username),
    constraint users_tenant_fkey foreign key (tenant_id) references tenants
);
comment on table users is 'people who work on quotes: sales, estimating, production planning';

create table customers (
    id            uuid         not null,
    tenant_id     uuid         not null,
    customer_code varchar(20)  not null,
    customer_name varchar(255) not null,
    city          varchar(100) not null,
    contact_name  varchar(255) not null,
    contact_email varchar(255) not null,
    created_at    timestamptz  not null default now(),
    constraint customers_pkey primary key (id),
    constraint customers_code_key unique (tenant_id, customer_code),
    constraint customers_tenant_fkey foreign key (tenant_id) references tenants
);
comment on table customers is 'who a quote is written for';

create table products (
    id                     uuid           not null,
    tenant_id              uuid           not null,
    product_code           varchar(100)   not null,
    product_name           text           not null,
    unit_of_measure        varchar(20)    not null,
    base_price             decimal(18, 4) not null,
    base_cost              decimal(18, 4) not null,
    usual_quantity         integer        not null,
    manufacturing_strategy varchar(50)    not null,
    lead_time_days         integer        not null,
    created_at             timestamptz    not null default now(),
    constraint products_pkey primary key (id),
    constraint products_code_key unique (tenant_id, product_code),
    constraint products_tenant_fkey foreign key (tenant_id) references tenants
);
comment on table products is 'printed work, finishing and services a shop sells';

create table quotes (
    id                          uuid           not null default gen_random_uuid(),
    tenant_id                   uuid           not null,
    facility_id                 uuid,
    quote_number                varchar(50)    not null,
    quote_date                  date           not null,
    expiration_date             date,
    customer_id                 uuid           not null,
    contact_name                varchar(255),
    contact_email               varchar(255),
    sales_rep_user_id           uuid,
    quote_currency_code         varchar(3)     not null default 'USD',
    subtotal                    decimal(18, 4) not null default 0,
    tax_amount                  decimal(18, 4) not null default 0,
    shipping_amount             decimal(18, 4) not null default 0,
    discount_amount             decimal(18, 4) not null default 0,
    total_amount                decimal(18, 4) not null default 0,
    total_cost                  decimal(18, 4),
    margin_amount               decimal(18, 4),
    margin_percentage           decimal(8, 4),
    status                      varchar(20)    not null default 'DRAFT',
    converted_to_sales_order_id uuid,
    converted_at                timestamptz,
    notes                       text,
    terms_and_conditions        text,
    created_at                  timestamptz    not null default now(),
    created_by                  uuid,
    updated_at                  timestamptz    not null default now(),
    updated_by                  uuid,
    constraint quotes_pkey primary key (id),
    constraint quotes_number_key unique (quote_number),
    constraint quotes_tenant_fkey foreign key (tenant_id) references tenants,
    constraint quotes_customer_fkey foreign key (customer_id) references customers,
    constraint quotes_sales_rep_fkey foreign key (sales_rep_user_id) references users,
    constraint quotes_created_by_fkey foreign key (created_by) references users,
    constraint quotes_updated_by_fkey foreign key (updated_by) references users,
    constraint quotes_status check (status in ('DRAFT', 'ISSUED', 'ACCEPTED', 'REJECTED', 'EXPIRED', 'CONVERTED_TO_ORDER'))
);
comment on table quotes is 'header of a quote: customer, dates, status, totals';
create index quotes_tenant_status on quotes (tenant_id, status);
create index quotes_customer on quotes (customer_id);

create table quote_lines (
    id                     uuid           not null default gen_random_uuid(),
    tenant_id              uuid           not null,
    quote_id               uuid           not null,
    line_number            integer        not null,
    product_id             uuid,
    product_code           varchar(100),
    description            text,
    quantity               decimal(18, 4) not null,
    unit_of_measure        varchar(20),
    unit_price             decimal(18, 4) not null,
    line_amount            decimal(18, 4) not null,
    discount_percentage    decimal(8, 4)  default 0,
    discount_amount        decimal(18, 4) default 0,
    unit_cost              decimal(18, 4),
    line_cost              decimal(18, 4),
    line_margin            decimal(18, 4),
    margin_percentage      decimal(8, 4),
    manufacturing_strategy varchar(50),
    lead_time_days         integer,
    promised_delivery_date date,
    created_at             timestamptz    not null default now(),
    updated_at             timestamptz    not null default now(),
    constraint quote_lines_pkey primary key (id),
    constraint quote_lines_number_key unique (quote_id, line_number),
    constraint quote_lines_tenant_fkey foreign key (tenant_id) references tenants,
    constraint quote_lines_quote_fkey foreign key (quote_id) references quotes on delete cascade,
    constraint quote_lines_product_fkey foreign key (product_id) references products
);
comment on table quote_lines is 'what is quoted: one product, quantity and price per line';

reset role;
