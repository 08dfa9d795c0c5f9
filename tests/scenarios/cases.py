"""The cases: what users do, and what they must see."""

from __future__ import annotations

from itertools import permutations

S2 = """
2 nodes x 2 v100
project team-a quota 2; project team-b quota 2
"""

OVER_QUOTA = """
expect a2 a1 b1 Running; expect team-a uses 3; expect team-b uses 1
submit b2 team-b -g 1
expect a2 b1 b2 Running; expect a1 Pending; expect a2 b1 kept
expect 1 evicted
expect a1 told: team-b/b2; expect a1 told: allocated 3.00, quota 2.00, fair share 2.00
expect a1 waits: project team-a: allocated 2.00, quota 2.00, fair share 2.00
cycles 20
expect a2 b1 b2 kept; expect a1 Pending; expect 1 evicted
delete a2
expect a1 b1 b2 Running; expect b1 b2 kept
"""

SUBMISSIONS = ("submit a2 team-a -g 2", "submit a1 team-a -g 1", "submit b1 team-b -g 1")

CASES: dict[str, str] = {
    "A4: a third fraction waits and starts when one is deleted": """
node node-a 1 v100; project team-a quota 1
submit f1 team-a -g 0.5; submit f2 team-a -g 0.5; submit f3 team-a -g 0.5
expect f1 f2 Running; expect f3 Pending; expect f3 waits: no GPU has 0.5 GPU free; expect team-a uses 1
delete f1
expect f2 f3 Running; expect f2 kept
""",
    "B6: non-preemptible work beyond the quota waits with the numbers; preemptible work may run": """
node node-a 1 v100; node node-b 1 v100; project team-a quota 1
submit i1 team-a -g 0.5 --interactive; submit i2 team-a -g 0.3 --interactive; submit i3 team-a -g 0.3 --interactive
expect i1 i2 Running; expect i3 Pending
expect i3 waits: non-preemptible work holds 0.80 (allocated 0.80, quota 1.00, fair share 0.80)
submit p team-a -g 0.3 --interactive --preemptible
expect p Running; expect i1 i2 kept; expect i3 Pending
delete i2
expect i3 Running
""",
    **{
        f"C1-C9: over quota, then reclaimed: {' '.join(line.split()[1] for line in order)}": S2
        + "; ".join(order)
        + OVER_QUOTA
        for order in permutations(SUBMISSIONS)
    },
    "C10: one job is moved and nothing waits": S2
    + """
submit a1 team-a -g 1; submit b1 team-b -g 1; submit b2 team-b -g 1
expect a1 b1 b2 Running; expect a1 on node-a; expect b1 on node-a; expect b2 on node-b
delete a1
expect b1 b2 Running
submit big team-a -g 2
expect big b1 b2 Running; expect 1 moved; expect 0 evicted
""",
    "C11: interactive work is not moved": S2
    + """
submit a1 team-a -g 1; submit b1 team-b -g 1 --interactive; submit b2 team-b -g 1 --interactive
expect a1 b1 b2 Running
delete a1
expect b1 b2 Running
submit big team-a -g 2
expect big Pending; expect b1 b2 kept; expect 0 moved; expect big waits: 2 whole GPUs
""",
    "C12: equal projects end with equal shares": """
2 nodes x 2 v100; project team-a quota 1; project team-b quota 1
submit a1 team-a -g 1; submit a2 team-a -g 1; submit a3 team-a -g 1; submit a4 team-a -g 1
expect a1 a2 a3 a4 Running
submit b1 team-b -g 1; submit b2 team-b -g 1; submit b3 team-b -g 1; submit b4 team-b -g 1
expect b1 b2 Running; expect b3 b4 Pending; expect team-a uses 2; expect team-b uses 2
expect a1 a2 kept
cycles 20
expect team-a uses 2; expect team-b uses 2; expect a1 a2 b1 b2 kept
""",
    "E12: a gang of three starts when all three fit": """
2 nodes x 2 v100; project team-a quota 4
submit x team-a -g 1; submit y team-a -g 1
expect x y Running
submit gang team-a -g 1 --workers 3
expect gang Pending; expect gang waits: starts only when 3 members fit together
delete x
expect gang y Running; expect y kept
""",
    "E13: topology that is required keeps a gang in one rack": """
node node-a 1 v100 rack=r1; node node-b 1 v100 rack=r2; node node-c 1 v100 rack=r2; project team-a quota 4
submit x team-a -g 1 --interactive; submit y team-a -g 1 --interactive
expect x on node-a; expect y on node-b; expect x y Running
submit gang team-a -g 1 --workers 2 --domain rack
expect gang Pending
delete x
expect gang Pending; expect y kept
delete y
expect gang Running; expect gang on node-b node-c
""",
    "E13: topology that is preferred gives way to starting": """
node node-a 1 v100 rack=r1; node node-b 1 v100 rack=r2; node node-c 1 v100 rack=r2; project team-a quota 4
submit x team-a -g 1 --interactive; submit y team-a -g 1 --interactive
expect y on node-b; expect x y Running
delete x
submit gang team-a -g 1 --workers 2 --prefer rack
expect gang Running; expect gang on node-a node-c; expect y kept
delete gang; delete y
submit again team-a -g 1 --workers 2 --prefer rack
expect again on node-b node-c
""",
    "an elastic gang starts with its least, grows, and gives its surplus back": """
2 nodes x 2 v100; project team-a quota 2; project team-b quota 2
submit elastic team-a -g 1 --workers 4 --min 2
expect elastic Running; expect team-a uses 4
submit b1 team-b -g 1; submit b2 team-b -g 1
expect b1 b2 Running; expect team-a uses 2; expect 1 evicted
""",
    "F2, F4, F5: memory becomes a profile and three of them fit": """
node node-a 1 a100-40gb; project team-a quota 2
submit m team-a --memory 10GB; submit p1 team-a --profile 2g.10gb; submit p2 team-a --profile 2g.10gb
expect m p1 p2 Running; expect team-a uses 0.857
submit i team-a --profile 3g.20gb --interactive
expect i Running; expect 1 evicted; expect 0 moved; expect team-a uses 1
cycles 20
expect 1 evicted
delete i
expect m p1 p2 Running
""",
    "F12: seven small ones: the fewest go that open a legal start": """
node node-a 1 a100-40gb; project team-a quota 0; project team-b quota 1
submit a1 team-a --profile 1g.5gb; submit a2 team-a --profile 1g.5gb; submit a3 team-a --profile 1g.5gb
submit a4 team-a --profile 1g.5gb; submit a5 team-a --profile 1g.5gb; submit a6 team-a --profile 1g.5gb
submit a7 team-a --profile 1g.5gb
expect a1 a2 a3 a4 a5 a6 a7 Running
submit b team-b --profile 3g.20gb
expect b Running; expect 3 evicted; expect team-a uses 0.571
cycles 20
expect 3 evicted
""",
    "K6: a quota has its instance, though what is left over would be enough in amount": """
node node-a 1 a100-80gb; project team-a quota 0; project team-b quota 1
submit a1 team-a --memory 40GB; submit a2 team-a --memory 40GB
expect a1 a2 Running
submit b team-b --memory 6GB
expect b Running; expect 1 evicted; expect team-a uses 0.43
cycles 20
expect 1 evicted
""",
    "K6: a guaranteed quota has the GPUs that can serve, though others would be free": """
node node-a 1 a100-80gb; node node-b 2 v100; project team-a quota 0; project team-b quota 3
submit a1 team-a --memory 30GB; submit a2 team-a --memory 30GB
expect a1 a2 Running
submit b team-b --memory 30GB
expect b Running; expect 1 evicted; expect a2 told: team-b/b
cycles 20
expect 1 evicted
""",
}

TIMED: dict[str, str] = {
    "a minimum runtime is kept before anybody is reclaimed": """
2 nodes x 1 v100; project team-a quota 1 min-runtime 60; project team-b quota 1
submit a1 team-a -g 1; submit a2 team-a -g 1
expect a1 a2 Running
submit b1 team-b -g 1
expect b1 Pending; expect a1 a2 kept
pass 61
expect b1 a1 Running; expect 1 evicted
""",
}
"""Cases that need minutes, and so a clock that can be moved."""
