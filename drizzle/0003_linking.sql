CREATE TABLE "link_said" (
	"study_instance_uid" text NOT NULL,
	"site" text NOT NULL,
	"report_status" text,
	"report_said_at" timestamp with time zone,
	"verified" text,
	"verified_at" timestamp with time zone,
	"verified_said_at" timestamp with time zone,
	CONSTRAINT "link_said_study_instance_uid_site_pk" PRIMARY KEY("study_instance_uid","site")
);
--> statement-breakpoint
CREATE TABLE "peer_told" (
	"study_instance_uid" text NOT NULL,
	"peer" text NOT NULL,
	"version" jsonb NOT NULL,
	"manifest" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "peer_told_study_instance_uid_peer_pk" PRIMARY KEY("study_instance_uid","peer")
);
--> statement-breakpoint
CREATE TABLE "study_notice" (
	"notice_id" text PRIMARY KEY NOT NULL,
	"origin" text NOT NULL,
	"study_instance_uid" text NOT NULL,
	"trigger" text NOT NULL,
	"version" jsonb NOT NULL,
	"body_digest" text NOT NULL,
	"manifest" json,
	"state" text DEFAULT 'ACCEPTED' NOT NULL,
	"promised" integer NOT NULL,
	"held" integer DEFAULT 0 NOT NULL,
	"pulled" integer DEFAULT 0 NOT NULL,
	"refused" integer DEFAULT 0 NOT NULL,
	"error" text,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "study_version" (
	"study_instance_uid" text PRIMARY KEY NOT NULL,
	"version" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"changed_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tombstone" (
	"study_instance_uid" text NOT NULL,
	"sop_instance_uid" text NOT NULL,
	"by" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tombstone_study_instance_uid_sop_instance_uid_pk" PRIMARY KEY("study_instance_uid","sop_instance_uid")
);
--> statement-breakpoint
CREATE TABLE "visitor_instance" (
	"study_instance_uid" text NOT NULL,
	"sop_instance_uid" text NOT NULL,
	"origin" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "visitor_instance_study_instance_uid_sop_instance_uid_pk" PRIMARY KEY("study_instance_uid","sop_instance_uid")
);
--> statement-breakpoint
ALTER TABLE "link_comment" ADD COLUMN "site" text;--> statement-breakpoint
ALTER TABLE "link_comment" ADD COLUMN "site_number" integer;--> statement-breakpoint
ALTER TABLE "link_study" ADD COLUMN "home_site" text;--> statement-breakpoint
ALTER TABLE "link_study" ADD COLUMN "home_since" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "study_notice_open" ON "study_notice" USING btree ("origin","study_instance_uid") WHERE "study_notice"."manifest" is not null;--> statement-breakpoint
CREATE INDEX "study_notice_ended" ON "study_notice" USING btree ("updated_at") WHERE "study_notice"."manifest" is null;--> statement-breakpoint
CREATE INDEX "study_version_changed" ON "study_version" USING btree ("changed_at","study_instance_uid");