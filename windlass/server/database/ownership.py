"""Who owns what is in an app's database, and what its runtime role may do with it: as SQL for the superuser.

The role `postgresql` runs it in each database, the release program in one that it has restored.
"""

from __future__ import annotations

# What is owned, but not part of the schema: a large object belongs to who stores it, as a row would; a temporary
# table to its session.
_BEGIN = """
WITH owned AS (
  SELECT classid, objid FROM pg_shdepend
   WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass
     AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = :'former')
     AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND classid NOT IN ('pg_largeobject'::regclass, 'pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
     AND NOT EXISTS (SELECT FROM pg_class WHERE classid = 'pg_class'::regclass AND oid = objid AND relpersistence = 't')
),
stored AS (
  SELECT oid FROM pg_largeobject_metadata WHERE lomowner = (SELECT oid FROM pg_roles WHERE rolname = :'former')
)
SELECT 'BEGIN; ' || string_agg(statement, '; ' ORDER BY number) || '; COMMIT' FROM (
"""
_END = ") AS needed (number, statement) HAVING count(*) > 0"
_DATABASE = """
SELECT 10, format('ALTER DATABASE %I OWNER TO %I', datname, :'owner')
  FROM pg_database WHERE datname = current_database() AND pg_get_userbyid(datdba) <> :'owner'
UNION ALL
SELECT 11, format('REVOKE %s ON DATABASE %I FROM PUBLIC', privilege_type, datname)
  FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
 WHERE datname = current_database() AND grantee = 0
UNION ALL
SELECT 12, format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), :'runtime')
 WHERE NOT EXISTS (SELECT FROM pg_database, aclexplode(datacl)
                    WHERE datname = current_database() AND pg_get_userbyid(datdba) = :'owner'
                      AND pg_get_userbyid(grantee) = :'runtime' AND privilege_type = 'CONNECT')
UNION ALL
SELECT 13, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
 WHERE EXISTS (SELECT FROM pg_namespace, aclexplode(nspacl)
                WHERE nspname = 'public' AND grantee = 0 AND privilege_type = 'CREATE')
"""
# What belonged to the other role of the app: all of it, or nothing, changes hands.
_CARRIED_OVER = """
UNION ALL
SELECT 20, format('REASSIGN OWNED BY %I TO %I', :'former', :'owner') WHERE EXISTS (SELECT FROM owned)
UNION ALL
SELECT 21, format('ALTER LARGE OBJECT %s OWNER TO %I', oid, :'former')
  FROM stored WHERE :'former' = :'runtime' AND EXISTS (SELECT FROM owned)
"""
_GRANTED = """
UNION ALL
SELECT 30, format('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE %s TO %I', oid::regclass, :'runtime')
  FROM pg_class JOIN owned ON classid = 'pg_class'::regclass AND objid = oid WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT 31, format('GRANT USAGE, SELECT, UPDATE ON SEQUENCE %s TO %I', oid::regclass, :'runtime')
  FROM pg_class JOIN owned ON classid = 'pg_class'::regclass AND objid = oid WHERE relkind = 'S'
UNION ALL
SELECT 32, format('GRANT USAGE ON SCHEMA %I TO %I', nspname, :'runtime')
  FROM pg_namespace JOIN owned ON classid = 'pg_namespace'::regclass AND objid = oid
UNION ALL
SELECT 33, format('GRANT EXECUTE ON ROUTINE %s TO %I', oid::regprocedure, :'runtime')
  FROM pg_proc JOIN owned ON classid = 'pg_proc'::regclass AND objid = oid
UNION ALL
SELECT 40, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT %s TO %I', :'owner', privileges, :'runtime')
  FROM (VALUES ('r', 'SELECT, INSERT, UPDATE, DELETE ON TABLES'), ('S', 'USAGE, SELECT, UPDATE ON SEQUENCES'),
               ('f', 'EXECUTE ON ROUTINES'), ('n', 'USAGE ON SCHEMAS')) AS wanted (kind, privileges)
 WHERE NOT EXISTS (SELECT FROM pg_default_acl, aclexplode(defaclacl)
                    WHERE defaclobjtype::text = kind AND defaclnamespace = 0
                      AND pg_get_userbyid(defaclrole) = :'owner' AND pg_get_userbyid(grantee) = :'runtime')
"""


def script(app: str, owner: str, go: str = "\\gexec") -> str:
    r"""Return what psql is to run in the app's database; `go` is `;` where it shall only print what it would do.

    One statement of SQL makes all that are needed, and they run in one transaction: a reader finds each table with
    the old owner or with the new one, and its own rights at any time. Without an owner beside it, the app owns all.
    """
    runtime = app
    former = app if owner != app else f"{app}-owner"
    values = {"owner": owner, "runtime": runtime, "former": former}
    lines = [f"\\set {name} '{value}'" for name, value in values.items()]
    needed = [_DATABASE, _CARRIED_OVER] + ([_GRANTED] if owner != app else [])
    return "\n".join([*lines, _BEGIN, *needed, f"{_END} {go}"]) + "\n"
