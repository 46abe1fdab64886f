-- A small customer database of the invented company, to try guarded writes on. Run again, it is as new.
drop schema if exists crm cascade;
create schema crm;

create type crm.plan as enum ('free', 'team', 'company');

create table crm.customers (
    id integer primary key,
    name text not null unique,
    email text not null,
    phone text,
    region text not null default 'EU' check (region in ('EU', 'US', 'internal')),
    credit numeric(10, 2) not null default 0 check (credit >= 0),
    notes text,
    updated_at timestamptz not null default '2026-03-01 09:00+00'
);

create table crm.subscriptions (
    id integer primary key,
    customer integer not null references crm.customers,
    product text not null check (product in ('Planner', 'Crew', 'Waypeg')),
    plan crm.plan not null,
    seats integer not null check (seats between 1 and 500),
    renews_on date,
    paused boolean not null default false
);

create table crm.tickets (
    id text primary key,
    customer integer not null references crm.customers,
    subject text,
    status text not null check (status in ('open', 'waiting', 'solved')),
    priority text not null check (priority in ('low', 'normal', 'urgent')),
    assignee text
);

-- Not in the rules: nobody reads or changes it on a request.
create table crm.payment_methods (
    customer integer primary key references crm.customers,
    iban text not null
);

create function crm.touch() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end $$;
create trigger touched before update on crm.customers for each row execute function crm.touch();

insert into crm.customers (id, name, email, phone, region, credit, notes) values
    (1, 'Greywillow Care Homes', 'office@greywillow.example.org', '+44 1632 960101', 'EU', 0, null),
    (2, 'Brackenfield Lifts', 'dispatch@brackenfield.example.com', '+44 1632 960102', 'EU', 40, 'Pays by the year.'),
    (3, 'Ostermoor Heating', 'service@ostermoor.example.net', null, 'EU', 0, null),
    (4, 'Pinnacle Pest Control', 'desk@pinnacle.example.com', '+1 202 555 0104', 'US', 120.5, null),
    (5, 'Saltmarsh Windows', 'hello@saltmarsh.example.org', '+44 1632 960105', 'EU', 0, null),
    (6, 'Corviden Elevators', 'ops@corviden.example.com', '+1 202 555 0106', 'US', 15, 'Wants mails, not calls.'),
    (7, 'Hollins & Daughters', 'jo@hollins.example.org', '+44 1632 960107', 'EU', 0, null),
    (8, 'Larkrise Boilers', 'larkrise@example.net', '+44 1632 960108', 'EU', 9.99, null),
    (9, 'Tarnwick demo account', 'demo@tarnwick.example.com', null, 'internal', 0, 'Ours.'),
    (10, 'Vantry Solar', 'field@vantry.example.com', '+1 202 555 0110', 'US', 0, null);

insert into crm.subscriptions (id, customer, product, plan, seats, renews_on, paused) values
    (101, 1, 'Planner', 'team', 12, '2026-09-01', false),
    (102, 2, 'Planner', 'company', 80, '2026-12-15', false),
    (103, 2, 'Waypeg', 'team', 25, '2026-12-15', false),
    (104, 3, 'Planner', 'free', 2, null, false),
    (105, 4, 'Crew', 'team', 18, '2026-06-30', false),
    (106, 5, 'Planner', 'team', 6, '2026-07-01', true),
    (107, 6, 'Planner', 'company', 140, '2027-01-31', false),
    (108, 7, 'Crew', 'free', 3, null, false),
    (109, 8, 'Planner', 'team', 9, '2026-08-20', false),
    (110, 10, 'Waypeg', 'company', 60, '2026-10-05', false);

insert into crm.tickets (id, customer, status, priority, assignee) values
    ('T-1001', 1, 'open', 'urgent', null),
    ('T-1002', 2, 'open', 'normal', 'mira'),
    ('T-1003', 2, 'waiting', 'low', 'mira'),
    ('T-1004', 3, 'open', 'normal', null),
    ('T-1005', 4, 'solved', 'normal', 'tomas'),
    ('T-1006', 4, 'open', 'urgent', 'tomas'),
    ('T-1007', 6, 'waiting', 'normal', 'mira'),
    ('T-1008', 8, 'open', 'low', null),
    ('T-1009', 9, 'open', 'low', null),
    ('T-1010', 10, 'open', 'normal', 'tomas');

insert into crm.payment_methods (customer, iban) values
    (1, 'GB33 BUKB 2020 1555 5555 55'),
    (2, 'GB94 BARC 1020 1530 0934 59');
