create table customers (
    id integer primary key,
    name text not null unique,
    email text not null,
    phone text,
    region text not null default 'EU',
    credit numeric(10, 2) not null default 0
);
create table subscriptions (
    id integer primary key,
    customer integer not null references customers on delete cascade,
    product text not null,
    seats integer not null check (seats between 1 and 500),
    paused boolean not null default false
);
create table tickets (
    id text primary key,
    customer integer not null references customers on delete cascade,
    status text not null check (status in ('open', 'waiting', 'solved')),
    priority text not null check (priority in ('low', 'normal', 'urgent'))
);
insert into customers (id, name, email, phone, region, credit) values
    (1, 'Greywillow Care Homes', 'office@greywillow.example.org', '+44 1632 960101', 'EU', 0),
    (2, 'Brackenfield Lifts', 'dispatch@brackenfield.example.com', '+44 1632 960102', 'EU', 40),
    (3, 'Brackenfield Boilers', 'boilers@brackenfield.example.net', null, 'EU', 0),
    (4, 'Pinnacle Pest Control', 'desk@pinnacle.example.com', '+1 202 555 0104', 'US', 120.5),
    (5, 'Saltmarsh Windows', 'hello@saltmarsh.example.org', '+44 1632 960105', 'EU', 0),
    (6, 'Tarnwick demo account', 'demo@tarnwick.example.com', null, 'internal', 0);
insert into subscriptions (id, customer, product, seats, paused) values
    (101, 1, 'Planner', 12, false),
    (102, 2, 'Planner', 80, false),
    (103, 2, 'Waypeg', 25, false),
    (104, 3, 'Planner', 2, false),
    (105, 4, 'Crew', 18, false),
    (106, 5, 'Planner', 6, true);
insert into tickets (id, customer, status, priority) values
    ('T-1001', 1, 'open', 'urgent'),
    ('T-1002', 2, 'open', 'normal'),
    ('T-1003', 2, 'waiting', 'low'),
    ('T-1005', 4, 'open', 'normal'),
    ('T-1006', 4, 'open', 'urgent'),
    ('T-1008', 5, 'open', 'low');
