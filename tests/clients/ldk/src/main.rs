//! A Lightning wallet that does what it is told: one JSON object a line on a TCP port, one answer a line.
//!
//!     ldk-wallet FOLDER LISTENING_ADDRESS CONTROL_ADDRESS CORE_PORT [LSP_KEY@LSP_ADDRESS [TOKEN]]
//!
//! `{"do": "send", "address": "bcrt1…", "amount_sat": 2822}` is answered by `{"done": "<txid>"}`, or by
//! `{"refused": "<why>"}`. CORE_PORT is where 127.0.0.1 speaks Bitcoin Core's JSON-RPC. With an LSP it
//! orders channels there by LSPS1, receives over channels that open just in time by LSPS2, and trusts it as ldk-node
//! then does.
//!
//! The node has the defaults of ldk-node. So it has no alias and takes no announced channel; and without coins
//! for their reserve it takes no anchor channel.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::str::FromStr;

use ldk_node::bitcoin::hex::FromHex;
use ldk_node::bitcoin::secp256k1::PublicKey;
use ldk_node::bitcoin::{Address, Network};
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescription, Description};
use ldk_node::lightning_liquidity::lsps1::msgs::LSPS1OrderId;
use ldk_node::lightning_types::payment::{PaymentHash, PaymentPreimage};
use ldk_node::liquidity::LSPS1OrderStatus;
use ldk_node::{Builder, ChannelDetails, Node};
use serde_json::{json, Value};

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, listening, control, core_port, lsp @ ..] = arguments.as_slice() else {
        return Err(
            "ldk-wallet FOLDER LISTENING_ADDRESS CONTROL_ADDRESS CORE_PORT [LSP [TOKEN]]".into(),
        );
    };
    let node = built(folder, listening, core_port, lsp)?;
    for caller in TcpListener::bind(control)?.incoming() {
        if let Err(problem) = served(&node, &caller?) {
            eprintln!("a caller went away: {problem}");
        }
    }
    Ok(())
}

fn built(folder: &str, listening: &str, core_port: &str, lsp: &[String]) -> Fallible<Node> {
    let mut builder = Builder::new();
    builder.set_network(Network::Regtest);
    builder.set_storage_dir_path(folder.to_string());
    builder.set_listening_addresses(vec![socket_address(listening)?])?;
    let (user, password) = ("any".to_string(), "any".to_string());
    builder.set_chain_source_bitcoind_rpc(
        "127.0.0.1".to_string(),
        core_port.parse()?,
        user,
        password,
    );
    if let Some((key, address)) = lsp.first().and_then(|uri| uri.split_once('@')) {
        let token = lsp.get(1).cloned();
        builder.set_liquidity_source_lsps1(
            PublicKey::from_str(key)?,
            socket_address(address)?,
            token.clone(),
        );
        builder.set_liquidity_source_lsps2(
            PublicKey::from_str(key)?,
            socket_address(address)?,
            token,
        );
    }
    Ok(builder.build()?)
}

fn served(node: &Node, mut caller: &TcpStream) -> Fallible<()> {
    for line in BufReader::new(caller).lines() {
        let answer = match answered(node, &serde_json::from_str(&line?)?) {
            Ok(done) => json!({ "done": done }),
            Err(refusal) => json!({ "refused": refusal.to_string() }),
        };
        writeln!(caller, "{answer}")?;
    }
    Ok(())
}

fn answered(node: &Node, told: &Value) -> Fallible<Value> {
    Ok(match text(told, "do")? {
        "start" => json!(node.start()?),
        "stop" => json!(node.stop()?),
        "sync" => json!(node.sync_wallets()?),
        "pubkey" => json!(node.node_id().to_string()),
        "new_address" => json!(node.onchain_payment().new_address()?.to_string()),
        "balance" => balance(node),
        "connect" => json!(node.connect(
            PublicKey::from_str(text(told, "pubkey")?)?,
            socket_address(text(told, "host")?)?,
            true,
        )?),
        "channels" => node.list_channels().iter().map(channel).collect(),
        "send" => {
            let address =
                Address::from_str(text(told, "address")?)?.require_network(Network::Regtest)?;
            let amount_sat = told["amount_sat"].as_u64().ok_or("no amount_sat")?;
            json!(node
                .onchain_payment()
                .send_to_address(&address, amount_sat, None)?
                .to_string())
        }
        "pay" => {
            let invoice: Bolt11Invoice = text(told, "invoice")?
                .parse()
                .map_err(|_| "not an invoice")?;
            json!(node.bolt11_payment().send(&invoice, None)?.to_string())
        }
        "receive" => json!(just_in_time(node, told["amount_msat"].as_u64())?.to_string()),
        "receive_held" => json!(held(node, told)?.to_string()),
        "claim" => json!(claimed(node, told)?),
        "fail" => json!(node
            .bolt11_payment()
            .fail_for_hash(PaymentHash(bytes(told, "hash")?))?),
        "events" => events(node),
        "payment" => payment(node, text(told, "id")?)?,
        "order" => order(
            &node.lsps1_liquidity().request_channel(
                told["lsp_balance_sat"]
                    .as_u64()
                    .ok_or("no lsp_balance_sat")?,
                told["client_balance_sat"]
                    .as_u64()
                    .ok_or("no client_balance_sat")?,
                told["expiry_blocks"]
                    .as_u64()
                    .ok_or("no expiry_blocks")?
                    .try_into()?,
                told["announce"].as_bool().ok_or("no announce")?,
            )?,
        )?,
        "order_status" => {
            let id = LSPS1OrderId(text(told, "id")?.to_string());
            order(&node.lsps1_liquidity().check_order_status(id)?)?
        }
        other => return Err(format!("nobody can {other}").into()),
    })
}

/// An invoice to be paid over a channel that there is not yet; without an amount what its payer likes.
fn just_in_time(node: &Node, amount_msat: Option<u64>) -> Fallible<Bolt11Invoice> {
    let (words, payments) = (description()?, node.bolt11_payment());
    Ok(match amount_msat {
        Some(amount_msat) => payments.receive_via_jit_channel(amount_msat, &words, 3_600, None)?,
        None => payments.receive_variable_amount_via_jit_channel(&words, 3_600, None)?,
    })
}

/// The same, of a payment that the wallet holds until it is told to claim or to fail it: only its owner knows what the
/// hash is of.
fn held(node: &Node, told: &Value) -> Fallible<Bolt11Invoice> {
    let amount_msat = told["amount_msat"].as_u64().ok_or("no amount_msat")?;
    let hash = PaymentHash(bytes(told, "hash")?);
    Ok(node.bolt11_payment().receive_via_jit_channel_for_hash(
        amount_msat,
        &description()?,
        3_600,
        None,
        hash,
    )?)
}

/// It has begun to take what it holds. `amount_msat` is what `PaymentClaimable` said of it.
fn claimed(node: &Node, told: &Value) -> Fallible<()> {
    let preimage = PaymentPreimage(bytes(told, "preimage")?);
    let amount_msat = told["amount_msat"].as_u64().ok_or("no amount_msat")?;
    Ok(node
        .bolt11_payment()
        .claim_for_hash(preimage.into(), amount_msat, preimage)?)
}

fn description() -> Fallible<Bolt11InvoiceDescription> {
    let words = Description::new("a first payment".to_string())?;
    Ok(Bolt11InvoiceDescription::Direct(words))
}

/// What has happened since somebody asked.
fn events(node: &Node) -> Value {
    let mut told = vec![];
    while let Some(event) = node.next_event() {
        told.push(json!(format!("{event:?}")));
        if node.event_handled().is_err() {
            break;
        }
    }
    json!(told)
}

fn balance(node: &Node) -> Value {
    let balances = node.list_balances();
    json!({
        "onchain_sat": balances.total_onchain_balance_sats,
        "spendable_sat": balances.spendable_onchain_balance_sats,
        "channels_sat": balances.total_lightning_balance_sats,
    })
}

fn channel(channel: &ChannelDetails) -> Value {
    json!({
        "point": channel.funding_txo.map(|point| format!("{}:{}", point.txid, point.vout)),
        "peer": channel.counterparty_node_id.to_string(),
        "capacity_sat": channel.channel_value_sats,
        "announced": channel.is_announced,
        "usable": channel.is_usable,
        "outbound_msat": channel.outbound_capacity_msat,
        "inbound_msat": channel.inbound_capacity_msat,
    })
}

fn order(order: &LSPS1OrderStatus) -> Fallible<Value> {
    Ok(json!({
        "id": order.order_id.0,
        "params": serde_json::to_value(&order.order_params)?,
        "payment": serde_json::to_value(&order.payment_options)?,
        "channel": serde_json::to_value(&order.channel_state)?,
    }))
}

/// The state of a payment that `pay` has begun: "Pending", "Succeeded" or "Failed".
fn payment(node: &Node, id: &str) -> Fallible<Value> {
    let mut found = node.list_payments_with_filter(|payment| payment.id.to_string() == id);
    let payment = found.pop().ok_or("no such payment")?;
    Ok(json!(format!("{:?}", payment.status)))
}

fn text<'a>(told: &'a Value, name: &str) -> Fallible<&'a str> {
    told[name]
        .as_str()
        .ok_or_else(|| format!("no {name}").into())
}

fn bytes(told: &Value, name: &str) -> Fallible<[u8; 32]> {
    Ok(<[u8; 32]>::from_hex(text(told, name)?)?)
}

fn socket_address(text: &str) -> Fallible<SocketAddress> {
    SocketAddress::from_str(text).map_err(|_| format!("{text} is no address").into())
}
