CREATE TABLE "link_audit" (
	"study_instance_uid" text NOT NULL,
	"version" integer NOT NULL,
	"ordinal" integer NOT NULL,
	"field" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"who" text NOT NULL,
	"from_value" text,
	"to_value" text,
	"forced" boolean DEFAULT false NOT NULL,
	CONSTRAINT "link_audit_study_instance_uid_version_ordinal_pk" PRIMARY KEY("study_instance_uid","version","ordinal")
);
--> statement-breakpoint
CREATE TABLE "link_comment" (
	"study_instance_uid" text NOT NULL,
	"number" integer NOT NULL,
	"version" integer NOT NULL,
	"text" text NOT NULL,
	"author" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "link_comment_study_instance_uid_number_pk" PRIMARY KEY("study_instance_uid","number")
);
--> statement-breakpoint
CREATE TABLE "link_study" (
	"study_instance_uid" text PRIMARY KEY NOT NULL,
	"report_status" text,
	"verified" text,
	"verified_at" timestamp with time zone,
	"version" integer DEFAULT 0 NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_by" text
);
