/*
 * One run, two runtimes, one store: lease, guard, fence and redelivery, with crashes, pauses and lost replies anywhere.
 *
 * Owns the question whether the rules of store_service/rules and the life of runtime_service/worker/hold.py fit
 * together: no stale decision is committed, nothing is recorded twice, nobody writes a run that it does not hold, and
 * once faults stop the run ends. Each transition names the code that it mirrors; when that code changes, so must this.
 * It must never know more than the code does: a runtime decides from its own copy of the log and from nothing else.
 *
 *   make model             the whole state space, and every safeguard taken out once (tests/models)
 *   -DWITHOUT_GUARD ...    takes one safeguard out: spin must then find the history that it prevents
 *
 * The workflow: a step; then a note (a decision that no entity id protects) and, in one of two workflows, a deadline;
 * then the end, as soon as a value came in from outside or the deadline passed. The log is not kept: what the rules and the replay derive from it
 * is. Event times rise by exactly one, because only their order is ever compared (clock.py, event_time).
 */

#ifndef FACTS
#define FACTS 2        /* values from outside; the second one races with the end */
#endif
#ifndef FAULTS
#define FAULTS 2       /* of any kind: a process dies; a lease ends although its holder lives; a reply is lost */
#endif

#define OTHER (1 - me)

mtype = { none, created, running, done };              /* states of the step: transitions.py, ENTITY_TRANSITIONS */
mtype = { nothing, committed, stale, illegal, fenced, terminal };                        /* answers of the store */

/* --- the store: the run row, its entities, its messages ------------------------------------------------------------ */

byte head_at;          /* RunRow.head_at: the time of the newest event */
byte marker_at;        /* RunRow.out_of_band_at: the time of the newest event that can change a decision */
byte head_seq;         /* RunRow.head_seq */
byte replay_seq;       /* RunRow.replay_seq: the newest decision of a replay */
byte moves;            /* how many events moved the marker: what the guard is judged by, never what it uses */
byte values;           /* hook_received */
mtype step = none;
byte attempt;          /* Step.attempt: starts */
bool noted, armed, fired, ended;
byte results, notes, ends;                              /* how often each was recorded */

byte ready;            /* wake messages of the run that may be delivered now */
byte delayed;          /* wake messages of the run that wait for the deadline */
bool leased[2];        /* a wake message is LEASED under the newest receipt of this runtime */
bool timed;            /* the workflow has a deadline beside the value; else the value alone ends it */
bool due;              /* the deadline has passed */
bool taken;            /* the run was taken up once */

byte faults;

/* --- what each runtime has in memory -------------------------------------------------------------------------------- */

typedef Copy { byte at; byte seq; byte moves; byte values; mtype step; byte attempt; bool noted, armed, fired, ended };
Copy copy[2];          /* History, and what the replay of it derives (Instance) */
bool holding[2];       /* a Hold lives; false after a crash, whatever the store still believes */
bool works[2];         /* an attempt runs here (Attempts.running) */
bool result[2];        /* an attempt ended here and its outcome is not recorded yet (Hold._outcomes) */
byte mine[2];          /* the number of that attempt */

/* One write in flight for each runtime (Writer: at most one). A crash does not call it back. */
typedef Write {
  bool sent;           /* on its way, or waiting in the store */
  bool orphaned;       /* its sender is gone, or holds a newer receipt: its receipt is not the newest of the runtime */
  bool repeated;       /* it was committed before and its reply was lost (Writer._append) */
  bool guarded;        /* Batch.is_guarded: state_updated_at and state_seq travel with it */
  byte at, seq, moves; /* the snapshot, and what the judge knows of it */
  byte outcome;        /* step_completed of this attempt, 0 none */
  bool fire, create, note, arm, end;
  byte start;          /* step_started with this attempt, 0 none */
  mtype answer
};
Write write[2];

#define REFUSED(w) (w.answer == stale || w.answer == illegal)

/* --- rules of the store --------------------------------------------------------------------------------------------- */

inline event() {
  /* batch.place: the next seq, and a time from clock.event_time */
  head_seq++;
#ifdef WITHOUT_RISING_CLOCK
  if :: head_at++ :: skip fi      /* a wall clock that stands still */
#else
  head_at++
#endif
}

inline moving_event() { event(); marker_at = head_at; moves++ }       /* kinds.moves_marker */
inline decided_event() { event(); replay_seq = head_seq }             /* kinds.is_replayed_decision */

inline wake() {
  /* waking.wake → queue.enqueue: a waiting message with the key takes its place and is hastened; a leased one does not */
  if
#ifdef WITH_KEYS_THAT_OUTLIVE_DELIVERY
  :: (leased[0] || leased[1]) -> skip
  :: else ->
#else
  :: true ->
#endif
    if
    :: ready > 0 -> skip
    :: ready == 0 && delayed > 0 -> delayed--; ready++
    :: else -> ready++
    fi
  fi
}

inline load(who) {
  /* Store.events_after to the end, then History.extend and Instance.deliver */
  copy[who].at = head_at; copy[who].seq = head_seq; copy[who].moves = moves; copy[who].values = values;
  copy[who].step = step; copy[who].attempt = attempt; copy[who].noted = noted; copy[who].armed = armed;
  copy[who].fired = fired; copy[who].ended = ended
}

inline forget_copy(who) {
  copy[who].at = 0; copy[who].seq = 0; copy[who].moves = 0; copy[who].values = 0; copy[who].step = none;
  copy[who].attempt = 0; copy[who].noted = false; copy[who].armed = false; copy[who].fired = false; copy[who].ended = false
}

inline forget_write(who) {
  write[who].sent = false; write[who].orphaned = false; write[who].repeated = false; write[who].guarded = false;
  write[who].at = 0; write[who].seq = 0; write[who].moves = 0; write[who].outcome = 0; write[who].fire = false;
  write[who].create = false; write[who].note = false; write[who].arm = false; write[who].end = false;
  write[who].start = 0
}

/* guard.compare; the head cannot be behind a snapshot here, so AHEAD does not come */
#ifdef WITHOUT_GUARD
#define BEHIND_FACT(w) false
#else
#define BEHIND_FACT(w) (w.guarded && w.at < marker_at)
#endif
#ifdef WITHOUT_STATE_SEQ
#define BEHIND_REPLAY(w) false
#else
#define BEHIND_REPLAY(w) (w.guarded && w.seq < replay_seq)
#endif

/* admission: the outcome of the running attempt, the next attempt, no second creation; the first end of a step wins */
#ifdef WITHOUT_TERMINAL_ONCE
#define OUTCOME_FITS(w) (w.outcome == 0 || step == done || (step == running && w.outcome == attempt))
#else
#define OUTCOME_FITS(w) (w.outcome == 0 || (step == running && w.outcome == attempt))
#endif
#define START_FITS(w) \
  (w.start == 0 || (w.start == attempt + 1 && !(step == done) && !(step == none && !w.create)))
#define FITS(w) \
  (OUTCOME_FITS(w) && !(w.create && step != none) && !(w.arm && armed) && !(w.fire && fired) && START_FITS(w))

/* leases.require_held: the message is LEASED under this very receipt */
#ifdef WITHOUT_FENCE
#define IS_HELD(w, who) true
#else
#define IS_HELD(w, who) (leased[who] && !w.orphaned)
#endif

inline append(who) {
  /* append.append, in its order of checks; one transaction */
  if
  :: ended -> write[who].answer = terminal
  :: !ended && (BEHIND_FACT(write[who]) || BEHIND_REPLAY(write[who])) -> write[who].answer = stale
  :: !ended && !BEHIND_FACT(write[who]) && !BEHIND_REPLAY(write[who]) && !FITS(write[who]) ->
     write[who].answer = illegal
  :: !ended && !BEHIND_FACT(write[who]) && !BEHIND_REPLAY(write[who]) && FITS(write[who]) ->
     if
     :: !IS_HELD(write[who], who) -> write[who].answer = fenced
     :: else -> commit(who)
     fi
  fi
}

inline commit(who) {
  /* what no safeguard may let through */
  assert(!write[who].guarded || write[who].moves == moves);        /* a stale decision is never committed */
#ifndef WITHOUT_FENCE                                              /* without it: what harm follows? */
  assert(leased[who] && !write[who].orphaned);                     /* who lost the run writes nothing to it */
#endif
  assert(!write[who].start || !(leased[1 - who] && works[1 - who]));   /* no attempt beside that of the holder */
  if :: write[who].outcome -> moving_event(); step = done; results++ :: else fi;
  if :: write[who].fire -> moving_event(); replay_seq = head_seq; fired = true :: else fi;
  if :: write[who].create -> decided_event(); step = created :: else fi;
  if :: write[who].note -> decided_event(); noted = true; notes++ :: else fi;
  if :: write[who].arm -> decided_event(); armed = true :: else fi;
  if :: write[who].start -> event(); step = running; attempt = write[who].start :: else fi;
  if
  :: write[who].end -> decided_event(); ended = true; ends++; leased[who] = false    /* ack_receipts, law 4 */
  :: else
  fi;
  assert(results <= 1 && notes <= 1 && ends <= 1);                 /* nothing is recorded twice */
  write[who].answer = committed
}

/* --- the store's side of a write ------------------------------------------------------------------------------------ */

active proctype Store() {
  byte who;
end_store:
  do
  :: atomic { (write[0].sent || write[1].sent) ->
       if :: write[0].sent -> who = 0 :: write[1].sent -> who = 1 fi;
       append(who);
       if
       :: write[who].orphaned -> write[who].answer = nothing; forget_write(who)      /* nobody listens any more */
       :: !write[who].orphaned && write[who].answer == committed && faults < FAULTS ->
          faults++; write[who].answer = nothing; write[who].repeated = true          /* the reply is lost: sent again */
       :: !write[who].orphaned ->
          /* The answer brings what lay between and the own events, or the missed ones; or they are read (_catch_up). */
          if :: write[who].answer != fenced -> load(who) :: else fi;
          /* A repeat that is refused finds its events in the log (writer._find) and goes on as after the first answer. */
          if :: write[who].repeated && REFUSED(write[who]) -> write[who].answer = committed :: else fi;
          write[who].sent = false; write[who].repeated = false
       fi;
       who = 0
     }
  :: atomic { write[0].sent && write[0].orphaned -> forget_write(0) }                /* lost on the way, with its sender */
  :: atomic { write[1].sent && write[1].orphaned -> forget_write(1) }
  od
}

/* --- a runtime ------------------------------------------------------------------------------------------------------ */

#define CLAIMABLE (ready > 0 || (due && delayed > 0))
/* The runtimes are alike: without loss, the first one is the first to take up the run. */
#define MAY_CLAIM (CLAIMABLE && (taken || me == 0))
/* queue.take_back_expired: of a holder that died, at any time; of one that lives, when its renewals fail */
#define IS_OVER(x) (leased[x] && (!holding[x] || faults < FAULTS))

#define IS_DONE (copy[me].step == done || result[me])
#define MAY_START (copy[me].step != done && !works[me] && !result[me])
#define HAS_WORK (copy[me].ended || result[me] || copy[me].step == none || MAY_START \
  || (IS_DONE && !copy[me].noted) \
  || (copy[me].noted && ((timed && !copy[me].armed) || copy[me].values > 0 || copy[me].fired)) \
  || (copy[me].armed && !copy[me].fired && due))

inline take_back(x) {
  if :: holding[x] -> faults++ :: else fi;
  leased[x] = false; ready++
}

inline receive() {
  /* queue.claim: no message of a group that is held; a receipt that is newer makes older ones worthless */
  if :: ready > 0 -> ready-- :: else -> delayed-- fi;
  leased[me] = true;
  if :: write[me].sent -> write[me].orphaned = true :: else fi
}

inline stop_working() { works[me] = false; result[me] = false; mine[me] = 0 }

inline send() {
  /* Turn.take and Batch.request: everything that one suspension decided, from the copy alone */
  write[me].answer = nothing;
  write[me].outcome = (result[me] -> mine[me] : 0);
  write[me].fire = (copy[me].armed && !copy[me].fired && due);
  write[me].create = (copy[me].step == none);
  write[me].note = (IS_DONE && !copy[me].noted);
  write[me].arm = (timed && copy[me].noted && !copy[me].armed);
  write[me].end = (copy[me].noted && (copy[me].values > 0 || copy[me].fired || write[me].fire));
  write[me].start = (MAY_START -> copy[me].attempt + 1 : 0);
  write[me].guarded = (write[me].fire || write[me].create || write[me].note || write[me].arm || write[me].end);
  write[me].at = (write[me].guarded -> copy[me].at : 0);
  write[me].seq = (write[me].guarded -> copy[me].seq : 0);
  write[me].moves = (write[me].guarded -> copy[me].moves : 0);
  write[me].sent = true
}

inline send_result_alone() {
  /* Writer.settle: the result of a finished step outlives the refusal of the batch that it was in */
  forget_write(me); write[me].answer = nothing; write[me].outcome = mine[me]; write[me].sent = true
}

proctype Runtime(byte me) {
idle:
  atomic {
    forget_copy(me);
    do
    :: leased[me] && IS_OVER(me) && !holding[me] -> take_back(me)
    :: leased[OTHER] && IS_OVER(OTHER) -> take_back(OTHER)
#ifdef WITHOUT_GROUP_LEASE
    :: MAY_CLAIM && !leased[me] -> break
#else
    :: MAY_CLAIM && !leased[0] && !leased[1] -> break                       /* contract.deliverable: group not LEASED */
#endif
    :: ended && !CLAIMABLE && delayed == 0 && !leased[0] && !leased[1] -> goto stop
    od;
    receive(); taken = true;
#ifndef WITHOUT_GROUP_LEASE
    assert(!(leased[0] && leased[1]));                                    /* one delivery of a run at a time */
#endif
    holding[me] = true
  }
  if
  :: atomic { load(me) }                                                  /* Hold._absorb */
  :: atomic { faults < FAULTS -> goto crash }
  fi;

turn:                                                                     /* Hold._work */
  if
  :: atomic { holding[me] && copy[me].ended -> goto settle }
  :: atomic { !copy[me].ended && HAS_WORK && !write[me].sent -> send() }
  :: atomic { !HAS_WORK -> goto rest }
  :: atomic { faults < FAULTS -> goto crash }
  fi;

answer:                                                                   /* Writer.write */
  if
  :: atomic { !write[me].sent && write[me].answer == committed ->
       if
       :: write[me].outcome -> stop_working()
       :: else
       fi;
       if
       :: write[me].start && copy[me].step == running && copy[me].attempt == write[me].start ->
          works[me] = true; mine[me] = write[me].start                    /* Attempts.begin: after the commit */
       :: else
       fi;
       forget_write(me); write[me].answer = nothing; goto turn }
  :: atomic { !write[me].sent && (write[me].answer == stale || write[me].answer == illegal) ->
       if
       :: result[me] && write[me].guarded -> send_result_alone(); goto answer
       :: result[me] && !write[me].guarded -> stop_working()              /* its step does not allow it any more */
       :: else
       fi;
       forget_write(me); write[me].answer = nothing; goto turn }
  :: atomic { !write[me].sent && write[me].answer == terminal ->
       forget_write(me); write[me].answer = nothing; goto settle }
  :: atomic { !write[me].sent && write[me].answer == fenced ->            /* LeaseLost: nothing is written any more */
       forget_write(me); write[me].answer = nothing; goto drop }
  :: atomic { faults < FAULTS -> goto crash }
  fi;

rest:                                                                     /* Hold._rest */
  if
  :: atomic { works[me] -> works[me] = false; result[me] = true; goto turn }     /* an attempt ends */
  :: atomic { copy[me].seq != head_seq -> load(me); goto turn }                  /* a push: a hint that may not come */
  :: atomic { copy[me].armed && !copy[me].fired && due -> goto turn }
  :: atomic { !leased[me] -> goto drop }                                         /* LeaseKeeper told so */
  :: atomic { !works[me] ->                                                      /* Hold._let_go */
       if
       :: leased[me] && copy[me].armed && !copy[me].fired -> leased[me] = false;  /* give_back: one message, lease and timer */
          if :: due -> ready++ :: else -> delayed++ fi
       :: leased[me] && !(copy[me].armed && !copy[me].fired) -> leased[me] = false          /* acknowledge */
       :: !leased[me]                                                            /* a lost receipt settles nothing */
       fi;
       goto drop }
  :: atomic { faults < FAULTS -> goto crash }
  fi;

settle:                                                                   /* Hold._settle_message */
  atomic { leased[me] = false }
drop:
  atomic { holding[me] = false; stop_working(); goto idle }

crash:                                  /* SIGKILL: what was sent stays sent, the lease stays until it is over */
  atomic {
    faults++; holding[me] = false; stop_working(); write[me].answer = nothing;
    if :: write[me].sent -> write[me].orphaned = true :: else -> forget_write(me) fi;
    goto idle
  }
stop:
  atomic { holding[me] = false }
}

/* --- the world outside ---------------------------------------------------------------------------------------------- */

active proctype Senders() {
  /* ResumeHook: a fact without a guard; RUN_TERMINAL once the run has ended, and the sender is told */
  do
  :: atomic { values < FACTS && !ended -> moving_event(); values++; wake() }
  :: atomic { values == FACTS || ended -> break }
  od
}

active proctype Deadline() { due = true }

init {
  atomic {
    event(); event();                                                     /* run_created, run_started */
    if :: timed = true :: timed = false fi;
    ready = 1;                                                            /* waking.wake: the creation's own message */
    run Runtime(0); run Runtime(1)
  }
}

/* When faults have stopped, the run ends: checked with weak fairness (pan -a -f). */
ltl ends_after_all { <> ended }
