"""The books, what the database itself asks of them, and what they are to have of the orders that exist."""

import django.db.models.deletion
from django.db import IntegrityError, migrations, models

SCHEDULE = "books"

#: An entry adds up when its transaction ends, and is never changed: what was wrong is put right by another.
GUARDS = """
CREATE FUNCTION orders_books_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entry bigint := (to_jsonb(NEW) ->> TG_ARGV[0])::bigint;
    legs bigint;
    total numeric;
BEGIN
    SELECT count(*), coalesce(sum(amount_msat), 0) INTO legs, total FROM orders_leg WHERE entry_id = entry;
    IF legs < 2 OR total <> 0 THEN
        RAISE EXCEPTION 'entry % of the books does not add up: % legs, % msat', entry, legs, total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'books_add_up';
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION orders_books_stand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the books are not changed: what was wrong is put right by another entry'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'books_stand';
END $$;
CREATE CONSTRAINT TRIGGER entry_adds_up AFTER INSERT ON orders_entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION orders_books_add_up('id');
CREATE CONSTRAINT TRIGGER leg_adds_up AFTER INSERT ON orders_leg DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION orders_books_add_up('entry_id');
CREATE TRIGGER entry_stands BEFORE UPDATE OR DELETE ON orders_entry
    FOR EACH ROW EXECUTE FUNCTION orders_books_stand();
CREATE TRIGGER leg_stands BEFORE UPDATE OR DELETE ON orders_leg
    FOR EACH ROW EXECUTE FUNCTION orders_books_stand();
"""
NO_GUARDS = """
DROP TRIGGER entry_adds_up ON orders_entry;
DROP TRIGGER leg_adds_up ON orders_leg;
DROP TRIGGER entry_stands ON orders_entry;
DROP TRIGGER leg_stands ON orders_leg;
DROP FUNCTION orders_books_add_up();
DROP FUNCTION orders_books_stand();
"""

#: What happened before there were books, as it stands: one entry for each payment, deposit, opening, refund and fee.
CARRIED = """
WITH known AS (
    SELECT o.id, o.lsp_node_id AS node_id, o.counted_payment AS rail, o.fee_total_sat AS fee,
           i.state AS paid, i.id AS invoice_id, coalesce(i.held_sat, 0) AS held, i.held_at IS NOT NULL AS was_held,
           CASE WHEN i.state = 'settled' AND o.counted_payment = 'lightning'
                THEN greatest(0, i.held_sat - o.order_total_sat) ELSE 0 END AS surplus
      FROM orders_channelorder o LEFT JOIN orders_holdinvoice i ON i.order_id = o.id
), by_hand AS (
    SELECT o.id, o.node_id, e.id AS event_id, CASE WHEN o.paid = 'settled' THEN o.held - o.surplus ELSE 0 END AS held,
           greatest(0, o.surplus +
               (SELECT coalesce(sum(d.amount_sat), 0) FROM orders_onchainpayment d
                 WHERE d.order_id = o.id AND d.state <> 'vanished' AND d.txid IN (
                     SELECT s.facts ->> 'txid' FROM orders_orderevent s
                      WHERE s.order_id = o.id AND s.cause = 'deposit_seen' AND s.version < e.version))
               - (SELECT coalesce(sum(r.amount_sat), 0) FROM orders_refund r
                   WHERE r.order_id = o.id AND r.created_at < e.at AND r.state IN ('signed', 'published', 'done'))
           ) AS onchain
      FROM known o JOIN orders_orderevent e ON e.order_id = o.id
     WHERE e.cause = 'returned_by_hand' AND e.to_state = 'refunded'
), opened AS (
    SELECT o.*, a.id AS opening_id, a.capacity_sat AS capacity, a.push_sat AS push, t.txid,
           CASE WHEN o.rail = 'onchain' THEN 'buyers_onchain'
                WHEN o.rail = 'lightning' AND o.paid = 'settled' THEN 'buyers_held' END AS claim,
           o.rail = 'lightning' AND o.paid = 'cancelled' AS is_lost
      FROM known o
      JOIN orders_channelopening a ON a.order_id = o.id AND a.state IN ('published', 'confirmed')
      JOIN orders_wallettransaction t ON t.id = a.transaction_id
), carried AS (
    SELECT 'payment:' || o.invoice_id || '#1' AS reference, 'payment' AS kind, o.id AS order_id, o.node_id,
           '' AS txid, leg.account, leg.sat
      FROM known o CROSS JOIN LATERAL (VALUES
           ('lightning', o.held), ('buyers_held', o.surplus - o.held), ('buyers_onchain', -o.surplus)) leg (account, sat)
     WHERE o.paid IN ('held', 'returning', 'settled')
    UNION ALL
    SELECT 'payment:' || o.invoice_id || '#1', 'payment', o.id, o.node_id, '', leg.account, leg.sat
      FROM known o CROSS JOIN LATERAL (VALUES ('refunded', -o.held), ('given', o.held)) leg (account, sat)
     WHERE o.paid = 'cancelled' AND o.was_held
    UNION ALL
    SELECT 'deposit:' || d.txid || ':' || min(d.vout) OVER (PARTITION BY d.order_id, d.txid) || '#1', 'deposit', o.id,
           o.node_id, d.txid, leg.account, leg.sat
      FROM orders_onchainpayment d JOIN known o ON o.id = d.order_id
      CROSS JOIN LATERAL (VALUES ('wallet', d.amount_sat), ('buyers_onchain', -d.amount_sat)) leg (account, sat)
     WHERE d.state = 'confirmed'
    UNION ALL
    SELECT 'opening:' || o.opening_id || '#1', 'opening', o.id, o.node_id, o.txid, leg.account, leg.sat
      FROM opened o CROSS JOIN LATERAL (VALUES
           ('wallet', -o.capacity), ('channels', o.capacity - o.push), ('given', o.push),
           (o.claim, o.fee + o.push), ('delivered', CASE WHEN o.claim IS NOT NULL THEN -o.push END),
           ('fees_earned', CASE WHEN o.claim IS NOT NULL THEN -o.fee END),
           ('losses', CASE WHEN o.is_lost THEN o.push END),
           ('given', CASE WHEN o.is_lost THEN -o.push END)) leg (account, sat)
    UNION ALL
    SELECT 'fee:' || t.txid || '#1', 'fee', o.id, coalesce(o.node_id, (SELECT min(id) FROM orders_node)), t.txid,
           leg.account, leg.sat
      FROM orders_wallettransaction t
      LEFT JOIN known o ON o.id = CASE WHEN t.kind IN ('funding', 'conflict') AND t.label ~ '^[a-z]+:[0-9a-f-]{36}$'
                                       THEN split_part(t.label, ':', 2)::uuid END
      CROSS JOIN LATERAL (VALUES ('wallet', -t.fee_sat), ('chain_fees', t.fee_sat)) leg (account, sat)
     WHERE (t.kind = 'funding' AND t.state IN ('published', 'deep')) OR (t.kind <> 'refund' AND t.state = 'deep')
    UNION ALL
    SELECT 'refund:' || r.id || '#1', 'refund', o.id, o.node_id,
           CASE WHEN r.refunded_at IS NULL THEN '' ELSE t.txid END, leg.account, leg.sat
      FROM orders_refund r JOIN known o ON o.id = r.order_id
      LEFT JOIN orders_wallettransaction t ON t.id = r.transaction_id
      CROSS JOIN LATERAL (VALUES
           ('buyers_onchain', r.amount_sat),
           (CASE WHEN r.state = 'kept' THEN 'kept' ELSE 'refunds_under_way' END,
            CASE WHEN r.refunded_at IS NULL THEN -r.amount_sat END),
           ('refunded', CASE WHEN r.refunded_at IS NOT NULL THEN -r.amount_sat END),
           ('wallet', CASE WHEN r.refunded_at IS NOT NULL THEN -r.amount_sat END),
           ('given', CASE WHEN r.refunded_at IS NOT NULL THEN r.amount_sat - r.fee_sat END),
           ('chain_fees', CASE WHEN r.refunded_at IS NOT NULL THEN r.fee_sat END)) leg (account, sat)
     WHERE r.state <> 'withdrawn'
    UNION ALL
    SELECT 'by_hand:carried:' || o.event_id || '#1', 'by_hand', o.id, o.node_id, '', leg.account, leg.sat
      FROM by_hand o CROSS JOIN LATERAL (VALUES
           ('buyers_onchain', o.onchain), ('buyers_held', o.held), ('refunded', -o.onchain - o.held)
      ) leg (account, sat)
), legs AS (
    SELECT reference, kind, order_id, node_id, txid, account, sum(sat) * 1000 AS amount_msat
      FROM carried WHERE account IS NOT NULL
     GROUP BY reference, kind, order_id, node_id, txid, account
    HAVING sum(sat) <> 0
), made AS (
    INSERT INTO orders_entry (order_id, node_id, at, kind, reference, txid, words)
    SELECT DISTINCT order_id, node_id, now(), kind, reference, txid, '' FROM legs
    RETURNING id, reference
)
INSERT INTO orders_leg (entry_id, account, amount_msat)
SELECT made.id, legs.account, legs.amount_msat FROM legs JOIN made USING (reference)
"""


def schedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=SCHEDULE,
        defaults={
            "func": "orders.tasks.check_books",
            # A node with many years of transactions takes its time to tell them.
            "kwargs": "{'q_options': {'timeout': 300}}",
            "schedule_type": "I",
            "minutes": 60,
            "repeats": -1,
        },
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=SCHEDULE).delete()


#: As the guard asks of each entry and leg by itself: of a shop that has sold for years that would be millions of times.
WRONG = """
SELECT entry.reference FROM orders_entry entry LEFT JOIN orders_leg leg ON leg.entry_id = entry.id
 GROUP BY entry.id HAVING count(leg.id) < 2 OR sum(leg.amount_msat) <> 0 LIMIT 1
"""


def carry(apps, schema_editor):
    """All at once, and tested at once: the server is down meanwhile."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(CARRIED)
        cursor.execute(WRONG)
        wrong = cursor.fetchone()
    if wrong is not None:
        raise IntegrityError(f"entry {wrong[0]} of the books does not add up")


class Migration(migrations.Migration):
    dependencies = [("orders", "0020_refunds"), ("django_q", "0018_task_success_index")]

    operations = [
        migrations.CreateModel(
            name="BooksCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True)),
                ("adds_up", models.BooleanField()),
                ("words", models.CharField(help_text="In a sentence.", max_length=300)),
                ("facts", models.JSONField(default=dict)),
            ],
            options={
                "ordering": ["-at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("payment", "Lightning payment"),
                            ("deposit", "Deposit"),
                            ("opening", "Channel opened"),
                            ("fee", "Fee of a transaction of ours"),
                            ("refund", "Refund on chain"),
                            ("by_hand", "Returned by hand"),
                            ("child", "Child that pays for a transaction of ours"),
                            ("close", "Close of a sold channel"),
                            ("sweep", "Sweep of a closed channel"),
                            ("ended", "Sold channel over"),
                            ("written_off", "Transaction of ours that was written off, and mined"),
                            ("correction", "Correction by staff"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        help_text="What it is about, and the how-manieth of that.", max_length=140, unique=True
                    ),
                ),
                (
                    "txid",
                    models.CharField(
                        blank=True, db_index=True, help_text="What moved coins of the wallet.", max_length=64
                    ),
                ),
                (
                    "words",
                    models.CharField(
                        blank=True, help_text="Why, and at whose hand, where a person says so.", max_length=200
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="orders.node"
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: it is of no order.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="orders.channelorder",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "entries",
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Leg",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "account",
                    models.CharField(
                        choices=[
                            ("wallet", "Coins in the wallet"),
                            ("lightning", "Lightning payments at the node"),
                            ("channels", "Our side of sold channels"),
                            ("given", "Given to buyers"),
                            ("buyers_held", "Buyers' money held"),
                            ("buyers_onchain", "Buyers' money on chain"),
                            ("refunds_under_way", "Refunds under way"),
                            ("kept", "Kept for buyers"),
                            ("refunded", "Refunded"),
                            ("delivered", "Delivered on the buyers' side"),
                            ("fees_earned", "Fees earned"),
                            ("chain_fees", "Chain fees paid"),
                            ("routing_fees", "Routing fees"),
                            ("close_costs", "Close costs"),
                            ("losses", "Losses"),
                        ],
                        max_length=24,
                    ),
                ),
                ("amount_msat", models.BigIntegerField(help_text="A debit is positive, a credit negative.")),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="legs", to="orders.entry"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "payment",
                            "deposit",
                            "opening",
                            "fee",
                            "refund",
                            "by_hand",
                            "child",
                            "close",
                            "sweep",
                            "ended",
                            "written_off",
                            "correction",
                        ],
                    )
                ),
                name="entry_kind_known",
            ),
        ),
        migrations.AddIndex(
            model_name="leg",
            index=models.Index(fields=["account"], name="leg_account"),
        ),
        migrations.AddConstraint(
            model_name="leg",
            constraint=models.UniqueConstraint(fields=("entry", "account"), name="leg_once_for_account"),
        ),
        migrations.AddConstraint(
            model_name="leg",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "account__in",
                        [
                            "wallet",
                            "lightning",
                            "channels",
                            "given",
                            "buyers_held",
                            "buyers_onchain",
                            "refunds_under_way",
                            "kept",
                            "refunded",
                            "delivered",
                            "fees_earned",
                            "chain_fees",
                            "routing_fees",
                            "close_costs",
                            "losses",
                        ],
                    )
                ),
                name="leg_account_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="leg",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_msat", 0), _negated=True), name="leg_moves_something"
            ),
        ),
        migrations.RunPython(schedule, unschedule),
        migrations.RunPython(carry, migrations.RunPython.noop),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
