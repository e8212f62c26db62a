"""Every bound of the network layer in one place, with its unit."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.rates import Rate

KIB = 1024

_STREAM_OPENS = Rate(50, 100)
_FRAMES_IN = Rate(500, 1000)
_BYTES_IN = Rate(8 * KIB * KIB, 4 * KIB * KIB)
_ACCEPTS_PER_IP = Rate(30, 400)
_LONELY_DIALS = Rate(2, 8)
_GOSSIP_IN = Rate(100, 300)
_GOSSIP_RPCS_IN = Rate(200, 600)
_GOSSIP_BUDGET = Rate(8 * KIB * KIB, 16 * KIB * KIB)
_MUX_FRAMES = Rate(4000, 8000)
_GOSSIP_BYTES_IN = Rate(KIB * KIB, 2 * KIB * KIB)
_PEER_ANSWERS = Rate(0.5, 10)
_RELAY_RATE = Rate(256 * KIB, 512 * KIB)
_IDS_IN = Rate(200, 2000)
_BODIES_OUT = Rate(2 * KIB * KIB, 4 * KIB * KIB)
_PUNCHES_EACH = Rate(1 / 30, 4)
_DIAL_BACKS = Rate(0.5, 10)
_DIAL_BACKS_EACH = Rate(1 / 30, 3)
_DHT_ANSWERS = Rate(2, 40)
_DHT_DIALS = Rate(2, 10)
_BLOCK_BYTES_OUT = Rate(64 * KIB * KIB, 64 * KIB * KIB)


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, sizes in bytes; the defaults suit a node in the open with a few hundred peers."""

    # frames and streams
    frame_cap: int = 256 * KIB
    """Longest frame, without its 4-byte length."""
    streams_per_peer: int = 48
    """Streams one connection's other side may hold open, of all protocols together."""
    stream_opens: Rate = _STREAM_OPENS
    """New streams from one connection."""
    idle_stream: float = 300.0
    """A stream without a frame in either direction is closed after this long."""
    frame_within: float = 15.0
    """A frame that has begun must end within this time."""
    send_within: float = 10.0
    """The longest that ``send`` takes, dialling included."""
    dial_within: float = 8.0
    waiting_sends: int = 64
    """Senders that may queue for one stream; the next one is told `Unreachable`."""
    frames_in: Rate = _FRAMES_IN
    """Frames from one peer; above it we read that peer slower."""
    bytes_in: Rate = _BYTES_IN
    """Bytes of frames from one peer; above it we read that peer slower."""
    event_queue: int = 256
    """Events that may wait for our owner; when it is full nobody is read."""
    write_stall: float = 8.0
    """A connection that takes no byte for this long is cut."""

    # connections
    connections: int = 256
    inbound_connections: int = 224
    """Fewer than ``connections``, so that strangers can't take the places of those whom we dial."""
    connections_per_ip: int = 64
    """An IPv6 network of 64 bits counts as one IP, here and below."""
    connections_per_peer: int = 2
    """The newest ones win: a peer that lost its line may come back before we notice."""
    accepts_per_ip: Rate = _ACCEPTS_PER_IP
    handshakes: int = 64
    """Half-open connections; one more pushes out the oldest of whoever holds most of them."""
    handshake_within: float = 8.0
    dials: int = 8
    """Dials under way at a time."""
    lonely_dials: Rate = _LONELY_DIALS
    """Dials of peers that we only heard of: whoever fills our book must not aim us at others."""
    mux_frames: Rate = _MUX_FRAMES
    """Frames of the muxer from one connection, whatever they carry; above it we read slower."""

    # gossip
    gossip_cap: int = 64 * KIB
    gossip_in: Rate = _GOSSIP_IN
    """Messages from one forwarder, its own and others'; above it they are dropped."""
    gossip_rpcs_in: Rate = _GOSSIP_RPCS_IN
    """Envelopes from one neighbour, each with messages, subscriptions or control."""
    gossip_bytes_in: Rate = _GOSSIP_BYTES_IN
    gossip_budget: Rate = _GOSSIP_BUDGET
    """Bytes of gossip from everybody together: what is kept for late askers lives some heartbeats long."""
    heartbeat: float = 1.0
    degree: int = 6
    degree_low: int = 4
    degree_high: int = 12
    gossip_linger: float = 0.05
    """What we pass on waits this long, give or take half: for company, or for its neighbour to send it first."""
    gossip_linger_known: float = 0.3
    """The same for what its author told us, while no more listen than an author tells by itself."""
    outbox: int = 512
    """Gossip waiting for one slow peer; more is dropped."""
    remember: int = 50_000
    """Message ids kept against hearing the same twice, for at most ``remember_for`` seconds."""
    remember_for: float = 120.0

    # gossip at size: ids are told, bodies pulled
    announce_peers: int = 32
    """With more publishers or listeners than this, gossip carries ids instead of bodies."""
    announce_bytes: int = 2 * KIB
    """A longer body is announced by its id however small the network is."""
    announce_within: float = 0.05
    """Ids wait this long for others to share a message with."""
    pull_within: float = 5.0
    """Whoever tells of bodies must give them within this time."""
    bodies_room: int = 16 * KIB * KIB
    """For our own bodies, and as much for those of others."""
    body_life: float = 300.0
    """A body is kept this long after it was last said."""
    ids_in: Rate = _IDS_IN
    """Ids from one forwarder; above it they are dropped."""
    bodies_out: Rate = _BODIES_OUT
    """Bytes of bodies to one peer; above it that peer waits."""

    # blocks, over bitswap
    block_bytes_out: Rate = _BLOCK_BYTES_OUT
    """Bytes of blocks to one peer; above it that peer waits."""
    wants_per_peer: int = 1024
    """Blocks that one peer may be waiting for; what it wants beyond them is not answered."""
    block_messages_out: int = 16
    """Messages with blocks under way to all peers together, each below 3 MiB."""
    blocks_asked: int = 16
    """Blocks that we ask of one peer ahead of those that arrived; each has up to 2 MiB."""
    block_silence: float = 20.0
    """A fetch ends when no block came for this long."""
    block_message_within: float = 30.0
    """A message with blocks that has begun must end within this time, in either direction."""
    block_linger: float = 5.0
    """A stream for our answers stays open this long after the last one."""

    # whom we dial
    redial_first: float = 0.2
    redial_most: float = 30.0
    known_peers: int = 4096
    wanted_peers: int = 8
    """With fewer than this, peers from the book are dialled without being asked."""
    ask_peers: float = 5.0
    """While we have fewer than that, one of our peers is asked for others this often; later a tenth as often."""
    peer_answers: Rate = _PEER_ANSWERS
    """How often one peer may ask us for others."""
    outside: bool = True
    """Whether to ask peers how they see us and whether they can dial us."""
    dial_back_every: float = 600.0
    dial_backs: Rate = _DIAL_BACKS
    """Dials that others ask of us, to find out whether they can be reached; all together."""
    dial_backs_each: Rate = _DIAL_BACKS_EACH
    """The same for one IP."""
    dht: bool = True
    """Whether to take part in the market's own DHT; who can't be dialled only asks there."""
    dht_lonely: float = 15.0
    """While we have few peers, somebody is looked for this often."""
    dht_refresh: float = 600.0
    """And later this often."""
    dht_within: float = 30.0
    """The longest that one lookup takes."""
    dht_ask_within: float = 5.0
    """The longest that one peer may take to answer, dialling included."""
    dht_idle: float = 30.0
    """A stream without a question is closed after this long."""
    dht_answers: Rate = _DHT_ANSWERS
    """Questions of one peer."""
    dht_dials: Rate = _DHT_DIALS
    """Dials of peers that others named in answer to a question."""
    dht_per_network: int = 8
    """Peers of the table that may share a public network of 24 bits (IPv6: 48)."""
    lan: bool = False
    """Whether to look for peers on the local network (mDNS), which tells everybody there that we run."""
    relays: tuple[str, ...] = ()
    """Multiaddrs of relays where to hold a place, for a host that can't be dialled."""
    punch: bool = True
    """Whether to try to replace relayed connections by direct ones."""
    punches_each: Rate = _PUNCHES_EACH
    """How often one peer may have us dial it that way."""
    relay: bool = False
    """Whether to be a relay for others; the bounds of that follow."""
    relay_places: int = 128
    """Peers that may hold a place with us."""
    relay_places_per_ip: int = 4
    relay_place: float = 3600.0
    """A place is held this long, unless it is asked for anew."""
    relay_circuits: int = 32
    relay_circuits_per_peer: int = 4
    relay_seconds: float = 900.0
    """One circuit's life."""
    relay_bytes: int = 16 * KIB * KIB
    """What one circuit may carry in each direction."""
    relay_rate: Rate = _RELAY_RATE
    """Bytes in each direction of one circuit."""
    keepalive: int = 20
    """A silent line is probed after this long, and given up after twice that."""

    # trust
    patience: float = 10.0
    """Points of fault that get a peer banned; one point is forgiven every ``forgive`` seconds."""
    forgive: float = 10.0
    ban: float = 600.0

    close_within: float = 0.6
    announce: tuple[str, ...] = ()
    """Multiaddrs (without ``/p2p``) to give out instead of those we listen on, behind a NAT for instance."""
